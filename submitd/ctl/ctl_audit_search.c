/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit search and tail: records by user, address, time, kind, message or
 * words (A5). Streams: memory does not grow with the record.
 */
#include "ctl/ctl_audit.h"

#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_OCTETS (1u << 20)
#define TAIL_MAX 10000u
#define FOLLOW_US 200000

/* Shown is what is there; people are told what they see a second time. */
static void
print_record(
    const struct ctl *ctl, struct ctl_audit_senders *senders, const json_t *o, struct span line)
{
	bool repeated = ctl_audit_is_repeated(senders, o);
	struct buf b = BUF_INIT;

	if (ctl->json) {
		(void)fwrite(line.p, 1, line.n, stdout);
		(void)putchar('\n');
		return;
	}
	ctl_audit_format(o, &b);
	if (repeated)
		buf_add_str(&b, " (repeated)");
	ctl_print_clean(buf_cstr(&b));
	(void)putchar('\n');
	buf_clear(&b);
}

/* ---- search ---------------------------------------------------------------------------------- */

struct search {
	struct ctl *ctl;
	struct ctl_audit_query q;
	struct ctl_audit_senders senders;
	uint64_t found, limit, strange;
};

static void
on_line(void *arg, struct span line, bool whole)
{
	struct search *s = arg;
	json_t *o;

	if (!whole)
		s->strange++;
	if (!whole || (s->limit != 0 && s->found >= s->limit))
		return;
	o = ctl_audit_match(&s->q, line);
	if (o == NULL)
		return;
	s->found++;
	print_record(s->ctl, &s->senders, o, line);
	json_decref(o);
}

/* -1: it was printed what is wrong. */
static int
set_kind(const char *text, const char **kind)
{
	static const char *const kinds[] = {CTL_AUDIT_KINDS};
	struct buf all = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		buf_addf(&all, "%s%s",
		    i == 0                      ? ""
		    : i + 1 == ARRAY_LEN(kinds) ? " or "
						: ", ",
		    kinds[i]);
		if (strcmp(text, kinds[i]) == 0)
			*kind = kinds[i];
	}
	if (*kind == NULL)
		ctl_error("--kind %s: %s is right", text, buf_cstr(&all));
	buf_clear(&all);
	return *kind == NULL ? -1 : 0;
}

/* -1: it was printed what is wrong. */
static int
set_time(const char *text, const char *name, char out[32])
{
	if (ctl_audit_time(text, out) == 0)
		return 0;
	ctl_error("--%s %s: an age (30d) or a time in UTC (2026-11-25T12:00) is right", name, text);
	return -1;
}

int
ctl_audit_search(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"user", required_argument, NULL, 'u'},
	    {"ip", required_argument, NULL, 'i'}, {"kind", required_argument, NULL, 'k'},
	    {"mid", required_argument, NULL, 'm'}, {"since", required_argument, NULL, 's'},
	    {"until", required_argument, NULL, 'e'}, {"failed", no_argument, NULL, 'F'},
	    {"limit", required_argument, NULL, 'l'}, {"file", required_argument, NULL, 'f'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct search s = {.ctl = ctl};
	struct ctl_audit_files files;
	char *named[CTL_AUDIT_FILES];
	int ch, n_named = 0, rc = CTL_OK;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (ch == 'u')
			s.q.user = optarg;
		else if (ch == 'k' && set_kind(optarg, &s.q.kind) == 0)
			continue;
		else if (ch == 'm')
			s.q.mid = optarg;
		else if (ch == 'F')
			s.q.failed = true;
		else if (ch == 'j')
			ctl->json = true;
		else if (ch == 'f' && n_named < CTL_AUDIT_FILES)
			named[n_named++] = optarg;
		else if (ch == 'i' && net_cidr_parse(span_of(optarg), &s.q.net) == 0)
			s.q.has_net = true;
		else if (ch == 'l' && str_to_u64(optarg, 1, UINT64_MAX, &s.limit) == 0)
			continue;
		else if (ch == 's' && set_time(optarg, "since", s.q.since) == 0)
			continue;
		else if (ch == 'e' && set_time(optarg, "until", s.q.until) == 0)
			continue;
		else if (ch == 'h')
			return ctl_print_help(ctl_command_find("audit")), CTL_OK;
		else if (ch == 'i' || ch == 'l')
			return ctl_error("--%s %s: %s is right", ch == 'i' ? "ip" : "limit", optarg,
				   ch == 'i' ? "an address or a network" : "a number"),
			       CTL_USAGE;
		else
			return CTL_USAGE;
	}
	if (argc - optind > 1) {
		ctl_error("audit search takes one text (quote it when it holds blanks)");
		return CTL_USAGE;
	}
	s.q.text = argc > optind ? argv[optind] : NULL;
	s.q.strange = &s.strange;
	if (ctl_audit_files(ctl, n_named, named, &files) == -1)
		return CTL_FAILED;
	for (size_t i = 0; i < files.n; i++)
		if (ctl_audit_read(files.paths[i], on_line, &s) == -1)
			rc = CTL_FAILED;
	ctl_audit_files_clear(&files);
	ctl_audit_tell_strange(s.strange);
	if (s.found == 0 && rc == CTL_OK) {
		ctl_error("nothing in the audit record matches");
		rc = CTL_FAILED;
	}
	return rc;
}

/* ---- tail ------------------------------------------------------------------------------------ */

/* Prints whole lines of b from line `skip` on. */
static void
print_lines(const struct ctl *ctl, struct buf *b, size_t skip)
{
	static const struct ctl_audit_query everything;
	static struct ctl_audit_senders senders;
	const char *lf;

	while (buf_len(b) > 0 && (lf = memchr(buf_data(b), '\n', buf_len(b))) != NULL) {
		struct span line = {
		    (const char *)buf_data(b), (size_t)(lf - (const char *)buf_data(b))};
		json_t *o = skip > 0 ? NULL : ctl_audit_match(&everything, line);

		skip -= skip > 0;
		if (o != NULL)
			print_record(ctl, &senders, o, line);
		json_decref(o);
		buf_consume(b, line.n + 1);
	}
	(void)fflush(stdout);
}

static size_t
count_lines(const struct buf *b)
{
	const uint8_t *p = buf_data(b);
	size_t n = 0;

	for (size_t i = 0; i < buf_len(b); i++)
		n += p[i] == '\n';
	return n;
}

static int
read_more(int fd, struct buf *b)
{
	ssize_t n;

	while ((n = read(fd, buf_reserve(b, 65536), 65536)) > 0)
		buf_commit(b, (size_t)n);
	return n == 0 ? 0 : -1;
}

static volatile sig_atomic_t ended;

static void
on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

static int
follow(const struct ctl *ctl, const char *path, int fd, struct buf *b)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct stat is, named;

	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	while (!ended && !ferror(stdout)) {
		(void)usleep(FOLLOW_US);
		if (read_more(fd, b) == -1)
			break;
		print_lines(ctl, b, 0);
		/* rotated: what is left of the old one was just read */
		if (stat(path, &named) == 0 && fstat(fd, &is) == 0 &&
		    (is.st_ino != named.st_ino || is.st_dev != named.st_dev)) {
			int next = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

			if (next != -1) {
				(void)read_more(fd, b);
				print_lines(ctl, b, 0);
				close(fd);
				fd = next;
			}
		}
	}
	close(fd);
	return CTL_OK;
}

static int
tail_file(const struct ctl *ctl, const char *path, uint64_t lines, bool again)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct buf b = BUF_INIT;
	struct stat st;
	size_t have;

	if (fd == -1 || fstat(fd, &st) == -1) {
		ctl_error("%s: %s", path, strerror(errno));
		return CTL_FAILED;
	}
	if (st.st_size > (off_t)TAIL_OCTETS)
		(void)lseek(fd, st.st_size - (off_t)TAIL_OCTETS, SEEK_SET);
	(void)read_more(fd, &b);
	have = count_lines(&b);
	print_lines(ctl, &b, have > lines ? have - (size_t)lines : 0);
	if (again)
		(void)follow(ctl, path, fd, &b);
	else
		close(fd);
	buf_clear(&b);
	return CTL_OK;
}

int
ctl_audit_tail(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
	    {"lines", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct ctl_audit_files files;
	uint64_t lines = 10;
	bool again = false;
	int ch, rc;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "fn:h", longs, NULL)) != -1) {
		if (ch == 'f')
			again = true;
		else if (ch == 'j')
			ctl->json = true;
		else if (ch == 'n' && str_to_u64(optarg, 0, TAIL_MAX, &lines) == 0)
			continue;
		else if (ch == 'n')
			return ctl_error("-n %s: a number up to %u is right", optarg, TAIL_MAX),
			       CTL_USAGE;
		else if (ch == 'h')
			return ctl_print_help(ctl_command_find("audit")), CTL_OK;
		else
			return CTL_USAGE;
	}
	if (argc - optind > 1) {
		ctl_error("audit tail takes one file");
		return CTL_USAGE;
	}
	if (ctl_audit_files(ctl, argc - optind, argv + optind, &files) == -1)
		return CTL_FAILED;
	if (ctl_audit_is_packed(files.paths[files.n - 1])) {
		ctl_error("%s is compressed: audit search reads it", files.paths[files.n - 1]);
		rc = CTL_FAILED;
	} else {
		rc = tail_file(ctl, files.paths[files.n - 1], lines, again);
	}
	ctl_audit_files_clear(&files);
	return rc;
}
