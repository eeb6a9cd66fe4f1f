/* SPDX-License-Identifier: ISC */
/*
 * submitctl explain: asks the running service, or with -f (or when no service
 * answers) the same function here on a file, and says which of the two it was.
 */
#include "ctl/ctl.h"

#include "base/str.h"
#include "policy/explain.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct output {
	struct ctl *ctl;
	struct buf own; /* of all --own, with commas */
	char stage[16];
};

enum {
	OPT_LISTENER = 256,
	OPT_IP,
	OPT_AUTH,
	OPT_OWN,
	OPT_HELO,
	OPT_TLS,
	OPT_NO_TLS,
	OPT_FROM,
	OPT_RCPT,
	OPT_HEADER_FROM,
	OPT_SIZE,
	OPT_JSON,
	OPT_HELP
};

static const struct option longs[] = {
    {"listener", required_argument, NULL, OPT_LISTENER},
    {"ip", required_argument, NULL, OPT_IP},
    {"auth", required_argument, NULL, OPT_AUTH},
    {"own", required_argument, NULL, OPT_OWN},
    {"helo", required_argument, NULL, OPT_HELO},
    {"tls", required_argument, NULL, OPT_TLS},
    {"no-tls", no_argument, NULL, OPT_NO_TLS},
    {"from", required_argument, NULL, OPT_FROM},
    {"rcpt", required_argument, NULL, OPT_RCPT},
    {"header-from", required_argument, NULL, OPT_HEADER_FROM},
    {"size", required_argument, NULL, OPT_SIZE},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static const char *
mark(const char *verdict)
{
	if (strcmp(verdict, "ok") == 0)
		return "yes ";
	if (strcmp(verdict, "perm") == 0)
		return "NO  ";
	return strcmp(verdict, "temp") == 0 ? "LATER" : "-   ";
}

static void
print_place(const json_t *row, const char *file, const char *line)
{
	if (ctl_text(row, line)[0] == '\0')
		return;
	(void)printf("  %s:%s", ctl_text(row, file), ctl_text(row, line));
}

static void
print_step(struct output *o, const json_t *row)
{
	const char *verdict = ctl_text(row, "verdict");
	bool strong = strcmp(verdict, "perm") == 0 || strcmp(verdict, "temp") == 0;
	bool dim = strcmp(verdict, "next") == 0;

	if (strcmp(o->stage, ctl_text(row, "stage")) != 0) {
		(void)str_copy(o->stage, sizeof(o->stage), ctl_text(row, "stage"));
		(void)printf("%s\n", o->stage);
	}
	if (ctl_colour() && (strong || dim))
		(void)fputs(strong ? "\033[1;31m" : "\033[2m", stdout);
	(void)printf("  %s %-4s %-24s", mark(verdict), ctl_text(row, "id"), ctl_text(row, "rule"));
	ctl_print_clean(ctl_text(row, "note"));
	print_place(row, "file", "line");
	if (ctl_colour() && (strong || dim))
		(void)fputs("\033[0m", stdout);
	(void)putchar('\n');
}

static void
print_result(const json_t *row)
{
	const json_t *remark;
	size_t i;
	bool ok = strcmp(ctl_text(row, "verdict"), "ok") == 0;

	(void)putchar('\n');
	if (ctl_text(row, "principal")[0] != '\0')
		(void)printf("user       %s, ou %s\n", ctl_text(row, "principal"),
		    ctl_text(row, "ou")[0] == '\0' ? "(none)" : ctl_text(row, "ou"));
	if (ctl_text(row, "domain")[0] != '\0') {
		(void)printf("domain     %s", ctl_text(row, "domain"));
		print_place(row, "domain_file", "domain_line");
		(void)printf(
		    "\ntransport  %s (%s)", ctl_text(row, "transport"), ctl_text(row, "method"));
		print_place(row, "transport_file", "transport_line");
		(void)putchar('\n');
	}
	(void)printf("verdict    %s", ok ? "accepted" : "refused");
	if (!ok)
		(void)printf(" at %s by %s %s", ctl_text(row, "stage"), ctl_text(row, "id"),
		    ctl_text(row, "rule"));
	(void)fputs("\nreply      ", stdout);
	ctl_print_clean(ctl_text(row, "reply"));
	(void)putchar('\n');
	json_array_foreach(json_object_get(row, "remarks"), i, remark)(void)
	    printf("note       %s\n", json_string_value(remark));
}

static void
row(void *arg, const json_t *o)
{
	struct output *out = arg;

	if (out->ctl->json)
		ctl_print_json(o);
	else if (json_is_true(json_object_get(o, "result")))
		print_result(o);
	else
		print_step(out, o);
}

static void
local_row(void *arg, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	if (o != NULL)
		row(arg, o);
	json_decref(o);
}

static int
run_local(struct ctl *ctl, const struct explain_request *q, struct output *o)
{
	struct conf *c = ctl_conf_load(ctl, false);
	char err[512] = "";
	int rc;

	if (c == NULL) {
		ctl_error("there is no usable configuration to explain");
		return CTL_FAILED;
	}
	if (!ctl->json)
		(void)printf("from %s, not from the running service\n\n",
		    ctl->conf_path == NULL ? CTL_DEFAULT_CONF : ctl->conf_path);
	rc = explain_run(c, q, local_row, o, err, sizeof(err));
	conf_free(c);
	if (rc == -1) {
		ctl_error("%s", err);
		return CTL_USAGE;
	}
	return rc;
}

static void
add(json_t *req, const char *key, const char *text)
{
	if (text != NULL)
		json_object_set_new(req, key, json_string(text));
}

static int
run_remote(struct ctl *ctl, const struct explain_request *q, struct output *o)
{
	json_t *req = json_pack("{s:s}", "cmd", "explain");

	add(req, "listener", q->listener);
	add(req, "ip", q->ip);
	add(req, "auth", q->auth);
	add(req, "own", q->own);
	add(req, "helo", q->helo);
	add(req, "tls", q->tls);
	add(req, "from", q->from);
	add(req, "rcpt", q->rcpt);
	add(req, "header_from", q->header_from);
	if (q->no_tls)
		json_object_set_new(req, "no_tls", json_true());
	if (q->size != 0)
		json_object_set_new(req, "size", json_integer((json_int_t)q->size));
	if (!ctl->json)
		(void)puts("from the running service\n");
	return ctl_request(ctl, req, row, o);
}

/* 0: go on; -1: help was printed; else an exit code. */
static int
read_options(struct output *o, int argc, char **argv, struct explain_request *q)
{
	struct ctl *ctl = o->ctl;
	int ch;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case OPT_LISTENER:
			q->listener = optarg;
			break;
		case OPT_IP:
			q->ip = optarg;
			break;
		case OPT_AUTH:
			q->auth = optarg;
			break;
		case OPT_OWN:
			if (buf_len(&o->own) > 0)
				buf_add_byte(&o->own, ',');
			buf_add_str(&o->own, optarg);
			break;
		case OPT_HELO:
			q->helo = optarg;
			break;
		case OPT_TLS:
			q->tls = optarg;
			break;
		case OPT_NO_TLS:
			q->no_tls = true;
			break;
		case OPT_FROM:
			q->from = optarg;
			break;
		case OPT_RCPT:
			q->rcpt = optarg;
			break;
		case OPT_HEADER_FROM:
			q->header_from = optarg;
			break;
		case OPT_SIZE:
			if (str_to_u64(optarg, 1, INT64_MAX, &q->size) == -1) {
				ctl_error("--size %s: a number of octets is right", optarg);
				return CTL_USAGE;
			}
			break;
		case OPT_JSON:
			ctl->json = true;
			break;
		case OPT_HELP:
		case 'h':
			ctl_print_help(ctl_command_find("explain"));
			return -1;
		default:
			return CTL_USAGE;
		}
	}
	return 0;
}

static int
explain(struct output *o, int argc, char **argv)
{
	struct explain_request q = {0};
	int rc = read_options(o, argc, argv, &q);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	if (optind != argc || q.from == NULL || q.rcpt == NULL) {
		ctl_error(optind != argc
			      ? "explain takes options only"
			      : "explain needs --from and --rcpt; see submitctl explain --help");
		return CTL_USAGE;
	}
	if (q.no_tls && q.tls != NULL) {
		ctl_error("--tls and --no-tls exclude each other");
		return CTL_USAGE;
	}
	if (buf_len(&o->own) > 0)
		q.own = buf_cstr(&o->own);
	if (o->ctl->conf_path != NULL || !ctl_daemon_is_up(o->ctl))
		return run_local(o->ctl, &q, o);
	return run_remote(o->ctl, &q, o);
}

int
ctl_explain(struct ctl *ctl, int argc, char **argv)
{
	struct output o = {.ctl = ctl};
	int rc = explain(&o, argc, argv);

	buf_clear(&o.own);
	return rc;
}
