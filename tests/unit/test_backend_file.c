/* SPDX-License-Identifier: ISC */
/*
 * The password file (S44): lines that are taken and skipped, look-ups, re-reading
 * without a gap, and how long a million lines take (printed, not judged).
 */
#include "authbackends/auth_worker.h"
#include "authbackends/authbackend.h"
#include "authbackends/passwd_table.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define HASH "$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0clF96.9mwWGB"
#define HASH2 "$5$rounds=1000$abc$UxKib5kobt2BZp/yfOEWbjik.BPMiS9MzbXyO6zXMC0"

static struct passwd_table *
table_of(const char *s, size_t n, bool plain)
{
	struct buf b = BUF_INIT;

	buf_add(&b, s, n);
	return passwd_table_parse(&b, plain);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		bool plain_ok;
		bool taken;
		enum passwd_entry_kind kind;
		const char *name, *secret;
	} cases[] = {
	    {"alice " HASH, false, true, ENTRY_HASH, "alice", HASH},
	    {"alice:" HASH, false, true, ENTRY_HASH, "alice", HASH},
	    {"alice \t " HASH " \r", false, true, ENTRY_HASH, "alice", HASH},
	    {"  alice@example.com\t" HASH, false, true, ENTRY_HASH, "alice@example.com", HASH},
	    {"\xef\xbb\xbf"
	     "alice " HASH,
		false, true, ENTRY_HASH, "alice", HASH},
	    {"alice secret", false, false, ENTRY_PLAIN, "alice", ""},
	    {"alice secret", true, true, ENTRY_PLAIN, "alice", "secret"},
	    {"alice se:cret", true, true, ENTRY_PLAIN, "alice", "se:cret"},
	    {"alice:$ecret", true, true, ENTRY_PLAIN, "alice", "$ecret"},
	    {"alice *", false, true, ENTRY_LOCKED, "alice", "*"},
	    {"alice:!" HASH, true, true, ENTRY_LOCKED, "alice", "!" HASH},
	    /* hashes of kinds that we do not take are never passwords in clear */
	    {"alice $1$abcdefgh$irWbblnpmw.5z7wgBnprh0", true, false, ENTRY_PLAIN, "alice", ""},
	    {"alice {SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", true, false, ENTRY_PLAIN, "alice", ""},
	    {"alice", true, false, ENTRY_PLAIN, "alice", ""},
	    {"alice ", true, false, ENTRY_PLAIN, "alice", ""},
	    {":secret", true, false, ENTRY_PLAIN, "", ""},
	    {"alice one two", true, false, ENTRY_PLAIN, "alice", ""},
	    {"alice:" HASH ":1000", false, false, ENTRY_PLAIN, "alice", ""},
	    {"ali\x01"
	     "ce secret",
		true, false, ENTRY_PLAIN, "ali\x01", ""},
	    {"al\xff"
	     "ice secret",
		true, false, ENTRY_PLAIN, "al\xff", ""},
	};
	size_t i, n, total;
	struct passwd_entry e;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct passwd_table *t =
		    table_of(cases[i].line, strlen(cases[i].line), cases[i].plain_ok);
		bool found = passwd_table_find(t, span_of(cases[i].name), &e);

		(void)passwd_table_findings(t, &n, &total);
		if (found != cases[i].taken || total != (cases[i].taken ? 0u : 1u))
			fail_msg("line %zu: found %d, findings %zu", i, found, total);
		if (found) {
			assert_int_equal(e.kind, cases[i].kind);
			assert_true(span_eq(e.secret, cases[i].secret));
		}
		passwd_table_free(t);
	}
}

static void
test_file(void **state)
{
	static const char text[] = "# comment\n\nalice " HASH "\nbob broken\nALICE " HASH2
				   "\ncarol:" HASH "\ndave:" HASH2 "\nnul\0x " HASH "\nlast " HASH;
	struct passwd_table *t = table_of(text, sizeof(text) - 1, false);
	const struct passwd_finding *f;
	struct passwd_entry e;
	size_t n, total;

	(void)state;
	assert_int_equal(passwd_table_count(t), 4);
	assert_true(
	    passwd_table_find(t, span_of("Alice"), &e)); /* any case, the first one counts */
	assert_true(span_eq(e.name, "alice"));
	assert_true(span_eq(e.secret, HASH));
	assert_true(passwd_table_find(t, span_of("last"), &e));
	assert_false(passwd_table_find(t, span_of("bob"), &e));
	assert_false(passwd_table_find(t, span_of("nul"), &e));
	assert_false(passwd_table_find(t, span_of(""), &e));
	f = passwd_table_findings(t, &n, &total);
	assert_int_equal(total, 3);
	assert_int_equal(f[0].line, 4);
	assert_int_equal(f[1].line, 5);
	assert_int_equal(f[2].line, 8);
	/* unknown users cost what most users cost */
	assert_string_equal(passwd_table_dummy(t), HASH);
	passwd_table_free(t);
	t = table_of("a b\nc d\n", 8, true);
	assert_string_equal(passwd_table_dummy(t), "");
	passwd_table_free(t);
}

static double
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double
lookup_us(const struct passwd_table *t, unsigned users)
{
	const unsigned rounds = 200000;
	struct passwd_entry e;
	char name[40];
	double began = now_us();
	unsigned i, hits = 0;

	for (i = 0; i < rounds; i++) {
		(void)str_printf(
		    name, sizeof(name), "user%u@example.com", (i * 7919u) % (users * 2u));
		hits += passwd_table_find(t, span_of(name), &e);
	}
	assert_in_range(hits, 1, rounds);
	return (now_us() - began) / rounds;
}

static void
test_million(void **state)
{
	struct buf text = BUF_INIT;
	struct passwd_table *t;
	double began, ten, million;
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++)
		buf_addf(&text, "user%u@example.com %s\n", i, HASH);
	t = passwd_table_parse(&text, false);
	ten = lookup_us(t, 10);
	passwd_table_free(t);
	for (i = 0; i < 1000000; i++)
		buf_addf(&text, "user%u@example.com %s\n", i, HASH);
	began = now_us();
	t = passwd_table_parse(&text, false);
	print_message("# S44: a million lines indexed in %.0f ms\n", (now_us() - began) / 1e3);
	assert_int_equal(passwd_table_count(t), 1000000);
	million = lookup_us(t, 1000000);
	print_message(
	    "# S44: look-up among ten lines %.3f us, among a million %.3f us\n", ten, million);
	passwd_table_free(t);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static char dir[] = "/tmp/submitd-test-XXXXXX";
static char path[64];

static void
write_file(const char *text)
{
	char fresh[80];
	FILE *f;

	(void)str_printf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, path), 0);
}

static void *
open_backend(bool plain, char *err, size_t errsize)
{
	static char title[] = "files";
	struct conf_backend block = {.title = title, .path = path, .allow_plain = plain};
	void *self = NULL;

	if (authbackend_file.open(NULL, &block, &self, err, errsize) == -1)
		return NULL;
	return self;
}

static enum verdict
ask(void *self, const char *login, const char *password)
{
	struct auth_check c;
	enum verdict v = V_TEMP;

	memset(&c, 0, sizeof(c));
	(void)str_copy(c.login, sizeof(c.login), login);
	(void)str_printf(c.address, sizeof(c.address), "%s@example.com", login);
	secret_set(&c.password, password, strlen(password));
	if (!authbackend_file.look(self, &c, &v))
		v = authbackend_file.check(self, &c);
	secret_clear(&c.password);
	return v;
}

static int wanted;

static void
want(const char *p)
{
	assert_string_equal(p, path);
	wanted++;
}

static void
stop(void *arg)
{
	(void)arg;
	ev_stop();
}

/* What the supervisor does, and then the loop until the worker has answered. */
static void
give_file(void *self)
{
	struct ev_timer t = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(authbackend_file.on_file(self, path, fd, fd == -1 ? ENOENT : 0));
	ev_timer_set(&t, 30, stop, NULL);
	ev_restart();
	ev_run();
	ev_timer_clear(&t);
}

static void
test_backend(void **state)
{
	static const char *const halves[] = {"", "zoe four\nali"};
	char err[200] = "";
	void *self;
	int tries;
	size_t i;

	(void)state;
	write_file("alice one\nbob@example.com two\ncarol *\n\xc3\xb6lga *\n"
		   "eve@b\xc3\xbc"
		   "cher.example *\n");
	self = open_backend(true, err, sizeof(err));
	assert_non_null(self);
	assert_int_equal(ask(self, "alice", "one"), V_OK);
	assert_int_equal(ask(self, "Alice", "one"), V_OK);
	assert_int_equal(ask(self, "alice", "two"), V_PERM);
	assert_int_equal(ask(self, "alice", "on"), V_PERM);
	assert_int_equal(ask(self, "bob", "two"), V_OK); /* completed */
	assert_int_equal(ask(self, "carol", "*"), V_PERM);
	assert_int_equal(ask(self, "dave", "two"), V_NEXT);
	/* who is here is not unknown in another case or form of a letter, or of the domain */
	assert_int_equal(ask(self, "\xc3\x96lga", "*"), V_PERM);
	assert_int_equal(ask(self, "o\xcc\x88lga", "*"), V_PERM);
	assert_int_equal(ask(self, "eve@xn--bcher-kva.example", "*"), V_PERM);
	assert_int_equal(ask(self,
			     "EVE@B\xc3\x9c"
			     "CHER.example",
			     "*"),
	    V_PERM);

	/* a change is taken after it looked the same twice, and never a moment without a table */
	authbackend_file.tick(self, want);
	assert_int_equal(wanted, 1);
	authbackend_file.tick(self, want);
	assert_int_equal(wanted, 1); /* an answer is due */
	write_file("alice three\n");
	give_file(self);
	assert_int_equal(ask(self, "alice", "one"), V_OK);
	for (tries = 0; tries < 100 && ask(self, "alice", "three") != V_OK; tries++)
		give_file(self);
	assert_int_equal(ask(self, "alice", "three"), V_OK);
	assert_int_equal(ask(self, "bob", "two"), V_NEXT);

	/* removed and made anew by somebody slow: what is not whole yet is not taken */
	for (i = 0; i < ARRAY_LEN(halves); i++) {
		write_file(halves[i]);
		for (tries = 0; tries < 4; tries++)
			give_file(self);
		assert_int_equal(ask(self, "alice", "three"), V_OK);
	}

	/* malformed lines are skipped at a re-read */
	write_file("broken\nalice four\n");
	for (tries = 0; tries < 100 && ask(self, "alice", "four") != V_OK; tries++)
		give_file(self);
	assert_int_equal(ask(self, "alice", "four"), V_OK);

	/* a file that is gone leaves the table alone */
	assert_int_equal(unlink(path), 0);
	give_file(self);
	assert_int_equal(ask(self, "alice", "four"), V_OK);
	authbackend_file.close(self);

	assert_null(open_backend(true, err, sizeof(err)));
	assert_non_null(strstr(err, path));
}

/* Two backends of one file, as process auth hands it to them: each reads all of it. */
static void
test_shared(void **state)
{
	char err[200] = "";
	void *both[2];
	int tries, fd, i;

	(void)state;
	write_file("alice one\n");
	for (i = 0; i < 2; i++) {
		both[i] = open_backend(true, err, sizeof(err));
		assert_non_null(both[i]);
	}
	write_file("alice seven\nbob@example.com two\n");
	for (tries = 0; tries < 100 && (ask(both[0], "alice", "one") == V_OK ||
					   ask(both[1], "alice", "one") == V_OK);
	     tries++) {
		struct ev_timer t = {0};

		fd = open(path, O_RDONLY | O_CLOEXEC);
		for (i = 0; i < 2; i++)
			assert_true(authbackend_file.on_file(both[i], path, dup(fd), 0));
		close(fd);
		ev_timer_set(&t, 30, stop, NULL);
		ev_restart();
		ev_run();
		ev_timer_clear(&t);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(ask(both[i], "alice", "seven"), V_OK);
		assert_int_equal(ask(both[i], "bob", "two"), V_OK);
		authbackend_file.close(both[i]);
	}
}

static int
setup(void **state)
{
	(void)state;
	log_set_role("test", 0);
	if (mkdtemp(dir) == NULL || ev_init() == -1)
		return -1;
	return str_printf(path, sizeof(path), "%s/users", dir);
}

static int
teardown(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	ev_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_million),
	    cmocka_unit_test(test_backend),
	    cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
