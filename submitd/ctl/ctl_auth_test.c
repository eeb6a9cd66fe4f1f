/* SPDX-License-Identifier: ISC */
/*
 * submitctl auth-test: one login through the real chain, backend by backend (C2).
 * The password or token comes from a person and goes behind the request as it is; it is
 * wiped as soon as it is sent.
 */
#include "ctl/ctl.h"

#include "base/net.h"
#include "base/str.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
	const char *listener, *ip, *cert;
	bool from_stdin, token;
};

static void
line(const char *what, const char *text)
{
	if (text[0] == '\0')
		return;
	(void)printf("%-10s ", what);
	ctl_print_clean(text);
	(void)putchar('\n');
}

static void
print_breaker(const json_t *row)
{
	const char *state = ctl_text(row, "breaker");

	if (state[0] == '\0' || strcmp(state, "closed") == 0)
		return;
	(void)printf("    breaker %s: ", state);
	if (json_is_true(json_object_get(row, "breaker_lets_through")))
		(void)puts("a login would be let through to try it");
	else if (ctl_int(row, "breaker_left_ms", 0) > 0)
		(void)printf("a login would not ask it, for another %lld ms\n",
		    (long long)ctl_int(row, "breaker_left_ms", 0));
	else
		(void)puts("a login would not ask it: another one is trying it just now");
}

static void
print_backend(const json_t *row)
{
	const json_t *said;
	char ms[40] = "";
	size_t i;

	(void)printf("%-16s ", ctl_text(row, "backend"));
	if (ctl_text(row, "not_asked")[0] != '\0') {
		(void)printf("not asked: ");
		ctl_print_clean(ctl_text(row, "not_asked"));
		(void)putchar('\n');
		print_breaker(row);
		return;
	}
	(void)str_printf(ms, sizeof(ms), "%s ms", ctl_text(row, "ms"));
	(void)printf("%-12s %9s%s", ctl_text(row, "verdict"), ms,
	    ctl_text(row, "reason")[0] == '\0' ? "" : "  ");
	ctl_print_clean(ctl_text(row, "reason"));
	(void)putchar('\n');
	if (ctl_text(row, "tls")[0] != '\0') {
		(void)printf("    TLS ");
		ctl_print_clean(ctl_text(row, "tls"));
		(void)putchar('\n');
	}
	print_breaker(row);
	json_array_foreach(json_object_get(row, "trace"), i, said)
	{
		(void)printf("    | ");
		ctl_print_clean(json_string_value(said));
		(void)putchar('\n');
	}
}

static void
print_cert(const json_t *row)
{
	const json_t *one;
	size_t i;

	line("subject", ctl_text(row, "cert"));
	line("sha256", ctl_text(row, "cert_sha256"));
	json_array_foreach(json_object_get(row, "cert_emails"), i, one)
	    line(i == 0 ? "addresses" : "", json_string_value(one));
	if (json_array_size(json_object_get(row, "cert_emails")) > 0 &&
	    !json_is_true(json_object_get(row, "cert_emails_count")))
		line("", "which name nobody: client_email is off");
	(void)printf("verified   ");
	if (ctl_text(row, "cert_problem")[0] != '\0') {
		(void)printf("no: ");
		ctl_print_clean(ctl_text(row, "cert_problem"));
	} else {
		(void)printf("yes");
	}
	(void)printf(" (tls \"");
	ctl_print_clean(ctl_text(row, "cert_tls"));
	(void)puts("\")");
}

static void
print_result(const json_t *row)
{
	const json_t *own;
	size_t i;

	(void)putchar('\n');
	if (strcmp(ctl_text(row, "with"), "cert") == 0)
		print_cert(row);
	(void)printf(
	    "listener   %s, client %s\n", ctl_text(row, "listener"), ctl_text(row, "client"));
	line("name", ctl_text(row, "login"));
	line("completed", ctl_text(row, "address"));
	line("its ou", ctl_text(row, "name_ou"));
	if (ctl_text(row, "rule")[0] != '\0') {
		(void)printf("rule       %s %s", ctl_text(row, "rule"), ctl_text(row, "rule_name"));
		if (ctl_text(row, "rule_line")[0] != '\0')
			(void)printf(
			    "  %s:%s", ctl_text(row, "rule_file"), ctl_text(row, "rule_line"));
		(void)putchar('\n');
		line("", ctl_text(row, "rule_note"));
	}
	line("principal", ctl_text(row, "principal"));
	line("ou", ctl_text(row, "ou"));
	json_array_foreach(json_object_get(row, "own"), i, own)
	    line(i == 0 ? "own" : "", json_string_value(own));
	if (strcmp(ctl_text(row, "guard"), "refuses") == 0)
		line("auth_guard", "refuses this client before any backend is asked");
	line("decided by", ctl_text(row, "decided_by"));
	line("verdict", ctl_text(row, "verdict"));
	line("reason", ctl_text(row, "reason"));
	(void)printf("reply      %s %s ", ctl_text(row, "code"), ctl_text(row, "esc"));
	ctl_print_clean(ctl_text(row, "text"));
	(void)putchar('\n');
}

static void
row(void *arg, const json_t *o)
{
	const struct ctl *ctl = arg;

	if (ctl->json)
		ctl_print_json(o);
	else if (json_is_true(json_object_get(o, "result")))
		print_result(o);
	else
		print_backend(o);
	(void)fflush(stdout);
}

/* 0 or an exit code. */
static int
check_options(const struct options *o, int n, const char *user)
{
	if (o->token && o->cert != NULL) {
		ctl_error("one of --token and --cert is tried at a time");
		return CTL_USAGE;
	}
	if (n > 1 || (n == 0 && !o->token && o->cert == NULL) || (n == 1 && user[0] == '\0')) {
		ctl_error("auth-test needs one USER; see submitctl auth-test --help");
		return CTL_USAGE;
	}
	if (o->cert == NULL && !o->from_stdin && isatty(STDIN_FILENO) != 1) {
		ctl_error("standard input is no terminal to ask for the %s: use --%s-stdin",
		    o->token ? "token" : "password", o->token ? "token" : "password");
		return CTL_USAGE;
	}
	return 0;
}

/* 0: go on; -1: help was printed; else an exit code. */
static int
read_options(struct ctl *ctl, int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"listener", required_argument, NULL, 'l'},
	    {"ip", required_argument, NULL, 'i'}, {"password-stdin", no_argument, NULL, 'p'},
	    {"token", no_argument, NULL, 't'}, {"token-stdin", no_argument, NULL, 'T'},
	    {"cert", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct net_addr a;
	int ch;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case 'l':
			o->listener = optarg;
			break;
		case 'i':
			o->ip = optarg;
			if (net_addr_parse_ip(span_of(optarg), &a) == -1) {
				ctl_error("--ip %s: an address is right", optarg);
				return CTL_USAGE;
			}
			break;
		case 'p':
			o->from_stdin = true;
			break;
		case 'T':
			o->from_stdin = o->token = true;
			break;
		case 't':
			o->token = true;
			break;
		case 'c':
			o->cert = optarg;
			break;
		case 'j':
			ctl->json = true;
			break;
		case 'h':
			ctl_print_help(ctl_command_find("auth-test"));
			return -1;
		default:
			return CTL_USAGE;
		}
	}
	return check_options(o, argc - optind, argv[optind]);
}

/* What is tried: from the file, from standard input, or asked for. 0 or an exit code. */
static int
read_secret(const struct options *o, struct secret *secret)
{
	size_t max = o->token ? CTL_TOKEN_MAX : CTL_SECRET_MAX;
	int rc;

	if (o->cert != NULL)
		return ctl_cert_read(o->cert, secret) == -1 ? CTL_USAGE : 0;
	rc = o->from_stdin ? ctl_secret_read(STDIN_FILENO, max, secret)
	                   : ctl_secret_ask(o->token ? "Token: " : "Password: ", max, secret);
	if (rc == 0 && secret->len > 0 && secret->len <= max)
		return 0;
	secret_clear(secret);
	ctl_error("a %s has 1 to %zu octets", o->token ? "token" : "password", max);
	return CTL_USAGE;
}

static json_t *
make_request(const struct options *o, const char *login, size_t secret_len)
{
	json_t *req = json_pack("{s:s,s:s,s:I}", "cmd", "auth.test", "user", ctl_user(), "secret",
	    (json_int_t)secret_len);
	json_t *name = json_string(login == NULL ? "" : login);

	if (name == NULL) { /* the one argument that may be no UTF-8 */
		ctl_error("the name is not UTF-8");
		json_decref(req);
		return NULL;
	}
	json_object_set_new(req, "login", name);
	if (o->token || o->cert != NULL)
		json_object_set_new(req, "with", json_string(o->token ? "token" : "cert"));
	if (o->listener != NULL)
		json_object_set_new(req, "listener", json_string(o->listener));
	if (o->ip != NULL)
		json_object_set_new(req, "ip", json_string(o->ip));
	return req;
}

int
ctl_auth_test(struct ctl *ctl, int argc, char **argv)
{
	struct options o = {0};
	struct secret secret = {0};
	json_t *req;
	int rc = read_options(ctl, argc, argv, &o);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	if ((rc = read_secret(&o, &secret)) != 0)
		return rc;
	req = make_request(&o, argv[optind], secret.len);
	rc = req == NULL ? CTL_USAGE : ctl_request_secret(ctl, req, &secret, row, ctl);
	secret_clear(&secret);
	return rc;
}
