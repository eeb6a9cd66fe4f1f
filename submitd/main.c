/* SPDX-License-Identifier: ISC */
/*
 * The command submitd: reads its options, checks the configuration (-t), goes to
 * the background (unless -d) and becomes the supervisor.
 */
#include "base/log.h"
#include "base/str.h"
#include "conf_load.h"
#include "sandbox.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONF "/etc/submitd/submitd.conf"

static void
usage(FILE *out)
{
	fprintf(out,
	    "usage: submitd [-d] [-f file] [-T topics]   run the service\n"
	    "       submitd -t [-f file]                 check the configuration\n"
	    "\n"
	    "  -d, --foreground   stay in the foreground\n"
	    "  -f, --file FILE    configuration (default " DEFAULT_CONF ")\n"
	    "  -t, --test         print every error and warning; exit 0 when it can be used\n"
	    "  -T, --trace LIST   trace smtp,io,ipc,auth,dns,policy,queue or all\n"
	    "  -V, --version\n"
	    "  -h, --help\n"
	    "\n"
	    "See submitd(8), submitd.conf(5), submitctl(8).\n");
}

/* To stdout for -t (they are the answer), else to stderr. */
static void
print_findings(const struct conf_findings *f, FILE *out)
{
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < f->n; i++) {
		buf_reset(&line);
		conf_finding_format(&f->v[i], &line);
		fprintf(out, "%s\n", buf_cstr(&line));
	}
	buf_clear(&line);
}

/* Roles without a user of their own would share root's, without its rights. */
static void
warn_of_users(const struct conf *c, struct conf_findings *f)
{
	struct sandbox_user u;
	struct buf names = BUF_INIT;
	size_t n = 0;

	for (int r = ROLE_FRONT; geteuid() == 0 && r < ROLE__MAX; r++) {
		sandbox_find_user(c, role_name((enum role)r), &u);
		if (!u.found)
			buf_addf(&names, "%s%s", n++ == 0 ? "" : ", ", u.name);
	}
	if (n > 0)
		conf_findings_add(f, false, c->server->where,
		    "user%s %s do%s not exist; make %s with systemd-sysusers (submitd.sysusers)",
		    n == 1 ? "" : "s", buf_cstr(&names), n == 1 ? "es" : "",
		    n == 1 ? "it" : "them");
	buf_clear(&names);
}

static void
warn_of_directory(const struct conf *c, struct conf_findings *f, const char *what, const char *path)
{
	char *dir = xstrdup(path);

	/* the nearest that is there; what is missing below it must be made there */
	while (access(dir, F_OK) == -1 && strrchr(dir, '/') != NULL && strrchr(dir, '/') != dir)
		*strrchr(dir, '/') = '\0';
	if (access(dir, W_OK) == -1)
		conf_findings_add(f, false, c->server->where,
		    "%s = \"%s\": who runs this may not write to %s; a service that he "
		    "starts needs a place of his own",
		    what, path, dir);
	free(dir);
}

/* A service that is not started by root has only what its user may write. */
static void
warn_of_directories(const struct conf *c, struct conf_findings *f)
{
	if (geteuid() == 0)
		return;
	warn_of_directory(c, f, "server: spool", c->server->spool);
	warn_of_directory(c, f, "server: state", c->server->state);
	warn_of_directory(c, f, "server: control", c->server->control);
	if (c->audit->file != NULL)
		warn_of_directory(c, f, "audit: file", c->audit->file);
}

static int
check_only(const char *file)
{
	struct conf_findings f = {0};
	struct conf *c = conf_load(file, NULL, &f);

	if (c != NULL) {
		warn_of_users(c, &f);
		warn_of_directories(c, &f);
		conf_probe(file, c, &f);
	}
	size_t warnings = f.n - (f.errors < f.n ? f.errors : f.n);
	int rc = c == NULL ? 1 : 0;

	print_findings(&f, stdout);
	if (c == NULL)
		printf("%s: %zu error%s, %zu warning%s: cannot be used\n", file, f.errors,
		    f.errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
	else
		printf("%s: good (%zu warning%s)\n", file, warnings, warnings == 1 ? "" : "s");
	conf_free(c);
	conf_findings_clear(&f);
	return rc;
}

/* In the parent: waits for the child's word and exits. Gives the descriptor to write that word to.
 */
static int
go_to_background(void)
{
	int fds[2];
	char word;

	if (pipe2(fds, O_CLOEXEC) == -1)
		log_fatal("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == -1)
		log_fatal("fork: %s", strerror(errno));
	if (pid != 0) {
		close(fds[1]);
		if (read(fds[0], &word, 1) == 1)
			exit(0);
		fprintf(stderr, "submitd: did not start, see its log\n");
		exit(1);
	}
	close(fds[0]);
	if (setsid() == -1 || chdir("/") == -1)
		log_fatal("background: %s", strerror(errno));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null != -1) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		close(null);
	}
	return fds[1];
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"foreground", no_argument, NULL, 'd'},
	    {"file", required_argument, NULL, 'f'},
	    {"test", no_argument, NULL, 't'},
	    {"trace", required_argument, NULL, 'T'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct supervisor_options o = {.conf_file = DEFAULT_CONF, .ready_fd = -1};
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT;
	bool test = false;
	int ch;

	while ((ch = getopt_long(argc, argv, "df:tT:Vh", longs, NULL)) != -1) {
		switch (ch) {
		case 'd':
			o.foreground = true;
			break;
		case 'f':
			o.conf_file = optarg;
			break;
		case 't':
			test = true;
			break;
		case 'T':
			if (log_trace_set(optarg) == -1) {
				fprintf(stderr,
				    "submitd: -T %s: topics are smtp, io, ipc, auth, dns, policy, "
				    "queue, all\n",
				    optarg);
				return 2;
			}
			break;
		case 'V':
			printf("submitd %s\n", SUBMITD_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return 2;
	}
	umask(027);
	/* a daemon's directory changes: the name must stay right for reloads */
	char *file = realpath(o.conf_file, NULL);
	if (file != NULL)
		o.conf_file = file;
	if (test) {
		int status = check_only(o.conf_file);
		free(file);
		return status;
	}
	struct conf *c = conf_load(o.conf_file, &raw, &f);
	print_findings(&f, stderr);
	if (c == NULL) {
		fprintf(stderr, "submitd: not started: correct the configuration first\n");
		return 1;
	}
	conf_findings_clear(&f);
	if (!o.foreground)
		o.ready_fd = go_to_background();
	return supervisor_run(&o, c, &raw);
}
