/* SPDX-License-Identifier: ISC */
/*
 * submitctl passwd: the command line, and the password from the terminal or from
 * standard input. A password is never an argument, never printed, and wiped after
 * use. The file itself is changed by ctl_passwd_file.c.
 */
#include "ctl/ctl_passwd_file.h"

#include "base/saslprep.h"
#include "base/secret.h"
#include "base/str.h"
#include "ctl/ctl_passwd_hash.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX CTL_PASSWORD_MAX

/* What AUTH would refuse before any backend sees it is refused here too (P3). */
static const char *
check_password(struct span s)
{
	if (s.n == 0)
		return "an empty password is not possible";
	if (s.n > PASSWORD_MAX)
		return "the password is longer than 511 octets";
	if (!utf8_valid(s))
		return "the password is not UTF-8";
	if (str_has_control(s))
		return "the password holds control characters";
	if (span_trim(s).n != s.n)
		return "blanks at the edges of a password get lost on the way; leave them out";
	return NULL;
}

static int
get_password(bool from_stdin, struct secret *out)
{
	struct secret first = {0}, second = {0};
	const char *why = NULL;

	if (from_stdin || isatty(STDIN_FILENO) != 1) {
		if (ctl_secret_read(STDIN_FILENO, CTL_SECRET_MAX, &first) == -1)
			why = "there is no password on standard input";
	} else if (ctl_secret_ask("New password: ", CTL_SECRET_MAX, &first) == -1 ||
		   ctl_secret_ask("Again: ", CTL_SECRET_MAX, &second) == -1) {
		why = "no password was given";
	} else if (!secret_equal(&first, &second)) {
		why = "the two passwords differ; nothing was changed";
	}
	if (why == NULL)
		why = check_password((struct span){first.data, first.len});
	if (why == NULL) {
		/* as the server does before it looks the hash up (RFC 4013) */
		secret_set(out, first.data, first.len);
		if (saslprep_secret(out, PASSWORD_MAX) == -1)
			why = "the password holds characters that SASLprep (RFC 4013) refuses, "
			      "or gets too long by it";
		else if (span_trim((struct span){out->data, out->len}).n != out->len)
			why = "blanks at the edges of a password get lost on the way; leave them "
			      "out";
	}
	if (why != NULL) {
		secret_clear(out);
		ctl_error("%s", why);
	}
	secret_clear(&first);
	secret_clear(&second);
	return why == NULL ? 0 : -1;
}

struct options {
	const char *file, *backend, *method;
	bool hash_only, removes, from_stdin;
};

/* The hash of a password asked for now. -1 with the error printed. */
static int
make_hash(const struct options *o, char hash[CTL_HASH_MAX])
{
	struct secret password = {0};
	int rc;

	if (get_password(o->from_stdin, &password) == -1)
		return -1;
	rc = ctl_hash_make(o->method, &password, hash);
	if (rc == -1)
		ctl_error("this system cannot make such a hash");
	secret_clear(&password);
	return rc;
}

/* The file of the backend; NULL with the error printed. The text is the caller's. */
static char *
backend_file(struct ctl *ctl, const char *backend)
{
	struct conf *c = ctl_conf_load(ctl, false);
	const struct conf_backend *found = NULL;
	size_t n = 0;
	char *path = NULL;

	if (c == NULL) {
		ctl_error("without a usable configuration, name the file with --file");
		return NULL;
	}
	for (size_t i = 0; i < c->n_backend; i++) {
		const struct conf_backend *b = &c->backend_blocks[i];

		if (b->path == NULL || (backend != NULL && strcmp(b->title, backend) != 0))
			continue;
		found = b;
		n++;
	}
	if (n == 1)
		path = xstrdup(found->path);
	else if (backend != NULL)
		ctl_error("there is no backend \"%s\" with type = file", backend);
	else if (n == 0)
		ctl_error("the configuration has no backend with type = file; --file names one");
	else
		ctl_error("there are several file backends: say which with --backend");
	conf_free(c);
	return path;
}

/* A text, or NULL and the name as it is looked up (RFC 4013). */
static const char *
check_name(const char *given, char name[256])
{
	struct span s = span_of(given);

	if (s.n == 0 || s.n > 255)
		return "a user name has 1 to 255 octets";
	if (str_has_control(s) || !utf8_valid(s))
		return "a user name holds no control characters and is UTF-8";
	(void)str_copy(name, 256, given);
	if (saslprep_text(name, 256) == -1)
		return "the user name holds characters that SASLprep (RFC 4013) refuses";
	if (strpbrk(name, ": \t") != NULL)
		return "a user name holds no colon and no blanks: they separate it from the hash";
	if (name[0] == '#')
		return "a user name does not begin with #: that is a comment";
	return NULL;
}

static int
read_options(struct ctl *ctl, int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"file", required_argument, NULL, 'F'},
	    {"backend", required_argument, NULL, 'b'}, {"method", required_argument, NULL, 'm'},
	    {"hash", no_argument, NULL, 'H'}, {"delete", no_argument, NULL, 'd'},
	    {"password-stdin", no_argument, NULL, 'p'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int ch;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case 'F':
			o->file = optarg;
			break;
		case 'b':
			o->backend = optarg;
			break;
		case 'm':
			o->method = optarg;
			break;
		case 'H':
			o->hash_only = true;
			break;
		case 'd':
			o->removes = true;
			break;
		case 'p':
			o->from_stdin = true;
			break;
		case 'j':
			ctl->json = true;
			break;
		case 'h':
			ctl_print_help(ctl_command_find("passwd"));
			return -1;
		default:
			return CTL_USAGE;
		}
	}
	if (argc == optind && !o->removes && o->file == NULL && o->backend == NULL)
		o->hash_only = true; /* nobody's: print it */
	if (argc - optind != (o->hash_only ? 0 : 1) ||
	    ((o->hash_only || o->from_stdin) && o->removes) ||
	    (o->file != NULL && o->backend != NULL)) {
		ctl_error("see submitctl passwd --help: one USER, or none for --hash");
		return CTL_USAGE;
	}
	return 0;
}

static void
say_done(const struct ctl *ctl, const char *path, const char *user, const char *what)
{
	json_t *o;

	if (!ctl->json) {
		(void)printf("%s: user %s is %s\n", path, user, what);
		return;
	}
	o = json_pack("{s:s,s:s,s:s}", "file", path, "user", user, "outcome", what);
	ctl_print_json(o);
	json_decref(o);
}

static int
change_file(struct ctl *ctl, const char *path, const char *user, const char *hash)
{
	char err[512];
	int rc = CTL_FAILED;

	switch (ctl_passwd_change(path, user, hash, err, sizeof(err))) {
	case PASSWD_ADDED:
		say_done(ctl, path, user, "new");
		rc = CTL_OK;
		break;
	case PASSWD_CHANGED:
		say_done(ctl, path, user, hash == NULL ? "removed" : "changed");
		rc = CTL_OK;
		break;
	case PASSWD_ABSENT:
		ctl_error("%s: there is no user %s", path, user);
		break;
	case PASSWD_FAILED:
		ctl_error("%s: %s", path, err);
		break;
	}
	return rc;
}

int
ctl_passwd(struct ctl *ctl, int argc, char **argv)
{
	struct options o = {.method = "yescrypt"};
	char hash[CTL_HASH_MAX] = "", name[256] = "";
	const char *why, *user;
	char *path = NULL;
	int rc = read_options(ctl, argc, argv, &o);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	if (!ctl_hash_method(o.method)) {
		ctl_error("there is no method \"%s\"; right is " CTL_HASH_METHODS, o.method);
		return CTL_USAGE;
	}
	user = o.hash_only ? NULL : argv[optind];
	why = user == NULL ? NULL : check_name(user, name);
	if (why != NULL) {
		ctl_error("%s", why);
		return CTL_USAGE;
	}
	/* before anybody types a password for nothing */
	if (!o.hash_only) {
		path = o.file != NULL ? xstrdup(o.file) : backend_file(ctl, o.backend);
		if (path == NULL)
			return CTL_FAILED;
	}
	if (!o.removes && make_hash(&o, hash) == -1)
		rc = CTL_FAILED;
	else if (!o.hash_only)
		rc = change_file(ctl, path, name, o.removes ? NULL : hash);
	else
		(void)printf(ctl->json ? "{\"hash\":\"%s\"}\n" : "%s\n", hash);
	free(path);
	return rc;
}
