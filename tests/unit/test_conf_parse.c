/* SPDX-License-Identifier: ISC */
/*
 * Files: include with its errors, the samples in etc/, the whole language that is
 * yet to come (its options are unknown, with their lines), certificates and secrets.
 */
#include "tests/unit/conf_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char *
path_of(const char *name)
{
	static char text[4][200];
	static unsigned i;

	i = (i + 1) % 4;
	(void)str_printf(text[i], sizeof text[i], "%s/%s", dir, name);
	return text[i];
}

static void
put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
set_up(void **state)
{
	(void)state;
	(void)str_copy(dir, sizeof dir, "/tmp/test_conf_XXXXXX");
	if (mkdtemp(dir) == NULL || mkdir(path_of("sub"), 0700) == -1)
		return -1;
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	(void)str_printf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command);
}

/* Reads the file; the findings as one text, with dir taken out. */
static struct conf *
read_file(const char *path, struct buf *text)
{
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT, all = BUF_INIT;
	struct conf *c = NULL;
	const char *p;
	size_t i;

	if (conf_parse_file(path, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	if (c != NULL)
		conf_check_files(c, &f);
	conf_findings_sort(&f);
	for (i = 0; i < f.n; i++) {
		conf_finding_format(&f.v[i], &all);
		buf_add_byte(&all, '\n');
	}
	buf_reset(text);
	for (p = buf_cstr(&all); *p != '\0';) {
		if (strncmp(p, dir, strlen(dir)) == 0)
			p += strlen(dir) + 1;
		else
			buf_add_byte(text, (uint8_t)*p++);
	}
	(void)buf_cstr(text);
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&all);
	return c;
}

static void
expect_file(const char *name, const char *want)
{
	struct buf text = BUF_INIT;
	struct conf *c = read_file(path_of(name), &text);

	assert_string_equal(buf_cstr(&text), want);
	assert_null(c);
	buf_clear(&text);
}

static void
test_include(void **state)
{
	struct buf raw = BUF_INIT;
	struct conf_findings f = {0};
	struct conf *c;

	(void)state;
	put("main.conf", "include(\"sub/a.conf\")\n" CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_FLOW
			     CONF_TEST_LISTENER);
	put("sub/a.conf", "# relative to this file\ninclude(\"b.conf\")\n");
	put("sub/b.conf", "\n" CONF_TEST_REST);
	assert_int_equal(conf_parse_file(path_of("main.conf"), &raw, &f), 0);
	c = conf_build(buf_span(&raw), &f);
	assert_non_null(c);
	assert_string_equal(conf_ou_find(c, "staff")->where.file, path_of("sub/b.conf"));
	assert_int_equal(conf_ou_find(c, "staff")->where.line, 2);
	assert_string_equal(c->file, path_of("main.conf"));
	conf_free(c);
	conf_findings_clear(&f);
	buf_clear(&raw);
}

static void
test_include_errors(void **state)
{
	(void)state;
	put("loop.conf", "\ninclude(\"sub/loop2.conf\")\n");
	put("sub/loop2.conf", "\n\ninclude(\"../loop.conf\")\n");
	expect_file("loop.conf",
	    "sub/loop2.conf:3: error: include(\"sub/../loop.conf\"): a loop, this file is being "
	    "read already\n"
	    "loop.conf: error: there is no server block; one is needed: server { ... }\n"
	    "loop.conf: error: there is no listener block; one is needed: listener \"name\" { ... "
	    "}\n");
	put("missing.conf",
	    "log { }\ninclude(\"none.conf\")\ninclude(\"/none/at/all\")\ninclude(\"sub\")\n");
	expect_file("missing.conf",
	    "missing.conf:2: error: include(\"none.conf\") cannot be read: No such file or "
	    "directory\n"
	    "missing.conf:3: error: include(\"/none/at/all\") cannot be read: No such file or "
	    "directory\n"
	    "missing.conf:4: error: include(\"sub\") cannot be read: it is no regular file\n");
	put("one.conf", "log { }\n");
	put("twice.conf",
	    "include(\"one.conf\")\ninclude(\"./one.conf\")\ninclude(\"bad.conf\")\n");
	put("bad.conf", "log {\n level = info\n");
	expect_file("twice.conf", "twice.conf:2: error: include(\"./one.conf\"): included twice, "
				  "first in twice.conf:1; keep one\n"
				  "bad.conf:1: error: log: the block that begins here is not "
				  "closed with }; the file may be cut short\n");
	expect_file("nothing.conf",
	    "nothing.conf: error: the configuration cannot be read: No such file or directory; "
	    "-f names another file, and submitd.conf.minimal.sample is one to begin with\n");
}

static void
test_samples(void **state)
{
	static const char *const names[] = {"etc/submitd.conf", "etc/submitd.conf.minimal"};
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT;
	struct conf *c;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		buf_reset(&raw);
		assert_int_equal(conf_parse_file(names[i], &raw, &f), 0);
		c = conf_build(buf_span(&raw), &f);
		assert_non_null(c);
		assert_int_equal(f.n, 0); /* no warnings either */
		conf_free(c);
	}
	buf_clear(&raw);
}

/* An option that is not there yet is unknown, never ignored (promise 6). */
static void
test_language_to_come(void **state)
{
	static const char *const want[] = {
	    ":10: error: server: unknown option metrics\n",
	    ":14: error: audit: unknown option retain; an option of that name stands in "
	    "history blocks\n",
	    ":15: error: unknown block explain\n",
	    ":16: error: history: unknown option quarantine_retain\n",
	    ":22: error: unknown block ip_policy\n",
	    ":80: error: ou \"hq\": unknown option admins\n",
	    ":97: error: user \"printers@example.com\": unknown option recipients\n",
	    ":103: error: domain \"example.com\": unknown option recipient_flow\n",
	    ":119: error: unknown block inter_ou\n",
	    ":132: error: transport \"plant-mta\": unknown option sasl\n",
	};
	struct buf text = BUF_INIT;
	struct conf *c = read_file("tests/unit/data/submitd.conf.example", &text);
	size_t i;

	(void)state;
	assert_null(c);
	for (i = 0; i < sizeof want / sizeof want[0]; i++) {
		if (strstr(buf_cstr(&text), want[i]) == NULL)
			print_error("missing: %s", want[i]);
		assert_non_null(strstr(buf_cstr(&text), want[i]));
	}
	/* what is of today is not complained of */
	assert_null(strstr(buf_cstr(&text), "unknown option relay_ou"));
	assert_null(strstr(buf_cstr(&text), "unknown option retry_delay"));
	assert_null(strstr(buf_cstr(&text), "corp-ad"));
	buf_clear(&text);
}

static void
make_pair(const char *cert, const char *key, long seconds)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	FILE *f;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 30L);
	X509_gmtime_adj(X509_getm_notAfter(x), seconds);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, pkey);
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	f = fopen(path_of(cert), "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = fopen(path_of(key), "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(pkey);
	assert_int_equal(chmod(path_of(key), 0600), 0);
}

/* Files good and bad, with their modes. */
static void
put_files(void)
{
	make_pair("good.pem", "good.key", 86400 * 90L);
	make_pair("old.pem", "old.key", -86400);
	make_pair("soon.pem", "soon.key", 86400 * 3L);
	put("users", "a@example.com:$y$x\n");
	put("hash", "$y$j9T$x\n");
	put("hash2", "not a hash\n");
	put("empty", "");
	assert_int_equal(chmod(path_of("users"), 0600), 0);
	assert_int_equal(chmod(path_of("hash"), 0600), 0);
	assert_int_equal(chmod(path_of("hash2"), 0644), 0);
	assert_int_equal(chmod(path_of("empty"), 0600), 0);
}

static void
test_files(void **state)
{
	struct buf text = BUF_INIT, file = BUF_INIT;
	struct conf *c;
	const char *got;

	(void)state;
	put_files();
	buf_addf(&file,
	    "server { hostname = \"mail.example.com\" spool = \"%s/no/spool\" control = \"%s/c\" "
	    "}\n",
	    dir, dir);
	buf_addf(&file, "tls \"good\" { certificate = \"%s/good.pem\" key = \"%s/good.key\" }\n",
	    dir, dir);
	buf_addf(&file, "tls \"mixed\" { certificate = \"%s/good.pem\" key = \"%s/old.key\" }\n",
	    dir, dir);
	buf_addf(
	    &file, "tls \"old\" { certificate = \"%s/old.pem\" key = \"%s/old.key\" }\n", dir, dir);
	buf_addf(&file, "tls \"soon\" { certificate = \"%s/soon.pem\" key = \"%s/soon.key\" }\n",
	    dir, dir);
	buf_addf(&file, "tls \"none\" { certificate = \"%s/none.pem\" key = \"%s/none.key\" }\n",
	    dir, dir);
	buf_addf(&file,
	    "backend \"f\" { type = file path = \"%s/users\" }\nbackend \"g\" { type = file path = "
	    "\"%s\" }\n",
	    dir, dir);
	buf_add_str(&file, "auth_flow \"x\" { chain = {f, g} }\nlistener \"l\" { bind = "
			   "{\"127.0.0.1:0\"} tls_profile = "
			   "{good, mixed, old, soon, none} }\n" CONF_TEST_REST "\n");
	buf_addf(&file,
	    "user \"a@example.com\" { smtp_auth = matching_sender secret = \"file:%s/hash\" }\n",
	    dir);
	buf_addf(&file,
	    "user \"b@example.com\" { smtp_auth = matching_sender secret = \"file:%s/hash2\" }\n",
	    dir);
	buf_addf(&file,
	    "user \"c@example.com\" { smtp_auth = matching_sender secret = \"file:%s/empty\" }\n",
	    dir);
	buf_addf(&file,
	    "user \"d@example.com\" { smtp_auth = matching_sender secret = \"file:%s/none\" }\n",
	    dir);
	buf_addf(&file,
	    "log { targets = {\"file:%s/no/log\"} }\naudit { file = \"%s/users/audit\" }\n", dir,
	    dir);
	buf_addf(&file,
	    "transport \"ca\" { method = lookup-mx tls = require_verify ca_file = \"%s/none\" }\n"
	    "domain \"ca.example\" { transport = \"ca\" }\n",
	    dir);
	put("files.conf", buf_cstr(&file));
	c = read_file(path_of("files.conf"), &text);
	assert_non_null(c);
	got = buf_cstr(&text);
	assert_null(strstr(got, "\"good\""));
	assert_null(strstr(got, "a@example.com"));
	assert_null(strstr(got, "backend \"f\""));
	assert_non_null(strstr(got, "files.conf:1: error: server: spool = "));
	assert_non_null(strstr(
	    got, "files.conf:3: error: tls \"mixed\": certificate good.pem and key old.key: "));
	assert_non_null(
	    strstr(got, "files.conf:4: warning: tls \"old\": certificate old.pem expired on "));
	assert_non_null(
	    strstr(got, "files.conf:5: warning: tls \"soon\": certificate soon.pem expires on "));
	assert_non_null(strstr(got,
	    "files.conf:6: error: tls \"none\": certificate: none.pem cannot be read: No such"));
	assert_non_null(strstr(got, "files.conf:8: error: backend \"g\": path: "));
	assert_non_null(strstr(got,
	    "files.conf:13: error: user \"b@example.com\": secret: hash2 does not hold one hash"));
	assert_non_null(strstr(got,
	    "files.conf:13: warning: user \"b@example.com\": secret: every user of this machine"));
	assert_null(strstr(got, "not a hash"));
	assert_non_null(
	    strstr(got, "files.conf:14: error: user \"c@example.com\": secret: empty is empty"));
	assert_non_null(strstr(
	    got, "files.conf:15: error: user \"d@example.com\": secret: none cannot be read"));
	assert_non_null(strstr(got, "files.conf:16: error: log: targets = "));
	assert_non_null(strstr(got, "files.conf:17: error: audit: file = "));
	assert_non_null(strstr(got,
	    "files.conf:18: error: transport \"ca\": ca_file: none: No such file or directory"));
	conf_free(c);
	buf_clear(&text);
	buf_clear(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_include),
	    cmocka_unit_test(test_include_errors),
	    cmocka_unit_test(test_samples),
	    cmocka_unit_test(test_language_to_come),
	    cmocka_unit_test(test_files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_parse", tests, set_up, tear_down);
}
