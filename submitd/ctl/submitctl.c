/* SPDX-License-Identifier: ISC */
/*
 * submitctl: the operator's tool. A table of commands; each has its own file. It
 * runs as whoever calls it and has no rights of its own: what it may do is decided
 * by the control socket.
 */
#include "ctl/ctl.h"
#include "ctl/ctl_select.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static int ctl_help(struct ctl *, int argc, char **argv);
static int ctl_version(struct ctl *, int argc, char **argv);

static const struct ctl_command commands[] = {
    {"queue", ctl_queue,
	"[list] [SELECTION] [--state STATE] [--limit N]\n"
	"show ID ...\n"
	"retry | hold | release | remove | bounce  SELECTION | --all\n"
	"rebuild",
	"waiting mail: list, show, retry, hold, release, remove, bounce, rebuild",
	CTL_SELECT_HELP "  --state STATE            due, waiting, active or held\n"
			"  --all                    everything (actions need this or a selection)\n"
			"  --limit N                list at most so many\n"},
    {"history", ctl_history, "[SELECTION] [--limit N]", "finished deliveries, newest first",
	CTL_SELECT_HELP "  --limit N                at most so many\n"},
    {"log", ctl_log, "[--file FILE] [--limit N] QUERY",
	"events of a message, session or address from the log files",
	"  QUERY  a message id (UUID), MID:QID, a queue id (digits), a session id (sid:…),\n"
	"         an address, /regexp/ (POSIX extended), or any text\n"
	"  --file FILE              search this file (\"-\": standard input) instead of the\n"
	"                           configured ones and their rotated .1, .2, …\n"
	"  --limit N                show the newest N messages that match (default 20)\n"},
    {"audit", ctl_audit,
	"verify [--pub FILE] [--checkpoint SEQ:HASH:SIG] [--checkpoints LOG] [FILE ...]\n"
	"search [--user U] [--ip NETWORK] [--kind K] [--mid ID] [--since T] [--until T] "
	"[--failed]\n"
	"       [--limit N] [--file FILE] [TEXT]\n"
	"user U [--since T] [--until T] [--file FILE] [--csv]\n"
	"report [--since T] [--until T] [--file FILE] [--csv]\n"
	"tail [-f] [-n N] [FILE]",
	"the audit record: verify, search, report, user, tail",
	"  --kind K                 auth, accept, relay, config, operator, ...: submitd-audit(7)\n"
	"  FILE                     instead of the configured one and its rotated ones;\n"
	"                           \"-\" is standard input\n"
	"  --pub FILE               the public key; FILE.pub beside the record by default\n"
	"  --checkpoint, --checkpoints\n"
	"                           checkpoints that left the machine: one, or a log with them\n"
	"  --since T --until T      an age (30d) or a time in UTC (2026-11-25T12:00)\n"
	"  --failed                 what was refused, and what is missing\n"
	"  --csv                    for a spreadsheet\n"
	"  -f                       go on as records are written\n"},
    {"explain", ctl_explain,
	"[--listener L] [--ip A] [--auth USER [--own A]...] [--helo H]\n"
	"[--tls VERSION | --no-tls]\n"
	"--from F --rcpt R [--header-from X] [--size N]",
	"what would happen to a message, rule by rule, and why",
	"  --listener NAME          needed where there are several\n"
	"  --auth USER              as if this user had logged in\n"
	"  --own ADDRESS            as if the backend had said that this is one of the user's\n"
	"                           addresses too; may be given several times\n"
	"  --from ADDRESS           envelope sender; \"<>\" is the empty one\n"
	"  --header-from A,B        addresses of From and Sender; the envelope sender by "
	"default\n"},
    {"account", ctl_account,
	"[list] [--known] [--limit N]\n"
	"clear KEY | --all",
	"failed logins: who is counted or locked out, and forgetting it",
	"  --known                  instead: users and the networks they log in from\n"
	"  --limit N                at most so many (default 1000)\n"
	"  KEY                      an address, a network (/24, /64) or a user name\n"
	"  --all                    forget all failures and lock-outs\n"},
    {"auth-test", ctl_auth_test,
	"[--listener L] [--ip A] [--token | --cert FILE] [--password-stdin] [USER]",
	"try a login: what each backend of the chain says, and what follows",
	"  The password is asked for, or read from standard input with --password-stdin;\n"
	"  never from the command line. Only root and the owner of the service may.\n"
	"  --token                  a token of OAUTHBEARER or XOAUTH2 instead, read likewise;\n"
	"                           USER is whom the client claims to be, if he does\n"
	"  --token-stdin            the same, from standard input\n"
	"  --cert FILE              a client's certificate (PEM) instead: whom EXTERNAL makes of "
	"it\n"
	"  --listener NAME          needed where listeners differ in flow or default_domain\n"
	"  --ip ADDRESS             as if from there (127.0.0.1)\n"},
    {"stats", ctl_stats, "", "counters of every process", NULL},
    {"state", ctl_state, "", "the processes of the service", NULL},
    {"reload", ctl_reload, "", "read the configuration again; exit 1 when it is refused", NULL},
    {"passwd", ctl_passwd,
	"[--file FILE | --backend NAME] [--method METHOD] [--password-stdin] USER\n"
	"--delete [--file FILE | --backend NAME] USER\n"
	"[--hash] [--method METHOD] [--password-stdin]",
	"set a password in the file of a file backend, or print a hash",
	"  The password is asked for twice, or read from standard input with --password-stdin\n"
	"  or when that is no terminal; never from the command line.\n"
	"  --file FILE              this file; else that of the backend in the configuration\n"
	"  --backend NAME           needed where there are several with type = file\n"
	"  --method METHOD          yescrypt (default), bcrypt, sha512, argon2id or\n"
	"                           scram-sha-256\n"
	"  --hash                   (or no USER) only print the hash, for the\n"
	"                           secret file of a user block\n"
	"  --delete                 remove the user\n"},
    {"version", ctl_version, "", "print the version", NULL},
    {"help", ctl_help, "[COMMAND]", "this list, or the options of one command", NULL},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct ctl_command *
ctl_command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

void
ctl_print_help(const struct ctl_command *c)
{
	const char *u = c->usage, *word = "usage:";

	do {
		size_t n = strcspn(u, "\n");

		(void)printf("%s submitctl %s %.*s\n", word, c->name, (int)n, u);
		word = "      ";
		u += n;
	} while (*u++ == '\n');
	(void)printf("\n%s\n", c->summary);
	if (c->help != NULL)
		(void)printf("\n%s", c->help);
	(void)puts("  --json                   one JSON object per line");
}

static void
usage(FILE *f)
{
	(void)fputs("usage: submitctl [-f FILE] [--socket PATH] [--json] COMMAND …\n\n", f);
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(f, "  %-9s  %s\n", commands[i].name, commands[i].summary);
	(void)fputs(
	    "\nsubmitctl COMMAND --help tells more. Exit codes: 0 done, 1 refused or failed, "
	    "2 usage.\n",
	    f);
}

static int
ctl_help(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *c = argc > 1 ? ctl_command_find(argv[1]) : NULL;

	(void)ctl;
	if (argc > 1 && c == NULL && argv[1][0] != '-') {
		ctl_error("there is no command \"%s\"", argv[1]);
		return CTL_USAGE;
	}
	if (c != NULL)
		ctl_print_help(c);
	else
		usage(stdout);
	return CTL_OK;
}

static int
ctl_version(struct ctl *ctl, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") != 0) {
			ctl_error("version takes no \"%s\"", argv[i]);
			return CTL_USAGE;
		}
		ctl->json = true;
	}
	if (ctl->json)
		(void)puts("{\"version\":\"" SUBMITD_VERSION "\"}");
	else
		(void)puts("submitctl " SUBMITD_VERSION);
	return CTL_OK;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"socket", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	struct ctl ctl = {0};
	const struct ctl_command *c;
	int ch;

	(void)setlocale(LC_CTYPE, "");
	while ((ch = getopt_long(argc, argv, "+f:hV", longs, NULL)) != -1) {
		switch (ch) {
		case 'f':
			ctl.conf_path = optarg;
			break;
		case 's':
			ctl.socket = optarg;
			break;
		case 'j':
			ctl.json = true;
			break;
		case 'h':
			usage(stdout);
			return CTL_OK;
		case 'V':
			return ctl_version(&ctl, 0, NULL);
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return CTL_USAGE;
	}
	c = ctl_command_find(argv[optind]);
	if (c == NULL) {
		ctl_error("there is no command \"%s\"; see submitctl help", argv[optind]);
		return CTL_USAGE;
	}
	argv[optind] = argv[0];
	ch = c->fn(&ctl, argc - optind, argv + optind);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		ctl_error("the output could not be written");
		return CTL_FAILED;
	}
	return ch;
}
