/* SPDX-License-Identifier: ISC */
/*
 * The client's side of SASL through the real libsasl2 (S16, S42): what is sent, byte by byte, and
 * which servers are not believed. The server of SCRAM is made here, of RFC 5802.
 */
#include "base/enc.h"
#include "base/list.h"
#include "base/sasl_login.h"
#include "base/str.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define ITERATIONS 4096
static const char salt[] = "saltsaltsaltsalt";

static struct sasl_login *
login_new(const char *mech, const char *user, const char *password)
{
	struct secret s = {NULL, 0};
	struct sasl_login *x;

	secret_set(&s, password, strlen(password));
	x = sasl_login_new(mech, "mail.example.com", user, &s);
	secret_clear(&s);
	assert_non_null(x);
	return x;
}

static void
check_buf(struct buf *b, const char *want, size_t n)
{
	assert_int_equal(buf_len(b), n);
	assert_memory_equal(buf_data(b), want, n);
	buf_wipe(b);
}

/* Starts a mechanism in which the server speaks first. */
static void
start_silent(struct sasl_login *x)
{
	struct buf b = BUF_INIT;
	bool has = true;

	assert_int_equal(sasl_login_start(x, &b, &has), 0);
	assert_false(has);
	assert_false(sasl_login_is_done(x));
	buf_clear(&b);
}

static void
test_plain(void **state)
{
	struct sasl_login *x = login_new("PLAIN", "zo\xc3\xab@example.com", "p w,=\"'");
	struct buf b = BUF_INIT;
	bool has = false;

	(void)state;
	assert_int_equal(sasl_login_start(x, &b, &has), 0);
	assert_true(has);
	check_buf(&b, "\0zo\xc3\xab@example.com\0p w,=\"'", 25);
	assert_true(sasl_login_is_done(x));
	/* it has nothing more to say, and is not done any more when it should */
	assert_int_equal(sasl_login_step(x, span_of("more"), &b), -1);
	assert_false(sasl_login_is_done(x));
	assert_string_not_equal(sasl_login_error(x), "");
	sasl_login_free(x);
}

static void
test_login(void **state)
{
	struct sasl_login *x = login_new("LOGIN", "bob", "secret");
	struct buf b = BUF_INIT;

	(void)state;
	start_silent(x);
	assert_int_equal(sasl_login_step(x, span_of("Username:"), &b), 0);
	check_buf(&b, "bob", 3);
	assert_false(sasl_login_is_done(x));
	assert_int_equal(sasl_login_step(x, span_of("Password:"), &b), 0);
	check_buf(&b, "secret", 6);
	assert_true(sasl_login_is_done(x));
	sasl_login_free(x);
}

/* RFC 2195, 2. */
static void
test_cram_md5(void **state)
{
	static const char answer[] = "tim b913a602c7eda7a495b4e6e7334d3890";
	struct sasl_login *x = login_new("CRAM-MD5", "tim", "tanstaaftanstaaf");
	struct buf b = BUF_INIT;

	(void)state;
	start_silent(x);
	assert_int_equal(
	    sasl_login_step(x, span_of("<1896.697170952@postoffice.reston.mci.net>"), &b), 0);
	check_buf(&b, answer, sizeof(answer) - 1);
	assert_true(sasl_login_is_done(x));
	sasl_login_free(x);
}

/* ---- SCRAM ----------------------------------------------------------------------------------- */

static void
hmac(const uint8_t *key, size_t n, struct span text, uint8_t out[32])
{
	unsigned len = 0;

	assert_non_null(
	    HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text.p, text.n, out, &len));
	assert_int_equal(len, 32);
}

/* The server's last word, if the proof in the client's last message is right. */
static void
scram_judge(const char *password, struct span auth, struct span proof, struct buf *out)
{
	uint8_t salted[32], key[32], stored[32], sign[32];
	struct buf p = BUF_INIT;

	assert_int_equal(
	    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const unsigned char *)salt,
		(int)strlen(salt), ITERATIONS, EVP_sha256(), sizeof(salted), salted),
	    1);
	hmac(salted, sizeof(salted), span_of("Client Key"), key);
	assert_int_equal(EVP_Digest(key, sizeof(key), stored, NULL, EVP_sha256(), NULL), 1);
	hmac(stored, sizeof(stored), auth, sign);
	assert_int_equal(base64_decode(&p, proof), 0);
	assert_int_equal(buf_len(&p), 32);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(buf_data(&p)[i], key[i] ^ sign[i]);
	buf_clear(&p);
	hmac(salted, sizeof(salted), span_of("Server Key"), key);
	hmac(key, sizeof(key), auth, sign);
	buf_add_str(out, "v=");
	base64_encode(out, sign, sizeof(sign));
}

/* Up to the server's last word; spoil: it is wrong. */
static int
scram_run(const char *user, const char *escaped, const char *password, bool spoil)
{
	struct sasl_login *x = login_new("SCRAM-SHA-256", user, password);
	struct buf first = BUF_INIT, server = BUF_INIT, last = BUF_INIT, auth = BUF_INIT;
	struct buf word = BUF_INIT, none = BUF_INIT;
	char head[80];
	bool has = false, done;
	int rc;

	assert_int_equal(sasl_login_start(x, &first, &has), 0);
	assert_true(has);
	str_printf(head, sizeof(head), "n,,n=%s,r=", escaped);
	assert_true(span_starts_nocase(buf_span(&first), head));
	buf_consume(&first, 3);
	buf_add_str(&server, strstr(buf_cstr(&first), "r="));
	buf_add_str(&server, "SRV,s=");
	base64_encode(&server, salt, strlen(salt));
	buf_addf(&server, ",i=%d", ITERATIONS);
	assert_int_equal(sasl_login_step(x, buf_span(&server), &last), 0);
	assert_false(sasl_login_is_done(x)); /* a yes now would be none */
	const char *proof = strstr(buf_cstr(&last), ",p=");
	assert_non_null(proof);
	buf_add_span(&auth, buf_span(&first));
	buf_add_byte(&auth, ',');
	buf_add_span(&auth, buf_span(&server));
	buf_add_byte(&auth, ',');
	buf_add(&auth, buf_data(&last), (size_t)(proof - (const char *)buf_data(&last)));
	scram_judge(password, buf_span(&auth), span_of(proof + 3), &word);
	if (spoil)
		((char *)(uintptr_t)buf_data(&word))[5] ^= 1;
	rc = sasl_login_step(x, buf_span(&word), &none);
	done = sasl_login_is_done(x);
	assert_int_equal(rc == 0, done);
	assert_int_equal(buf_len(&none), 0);
	buf_clear(&first);
	buf_clear(&server);
	buf_clear(&last);
	buf_clear(&auth);
	buf_clear(&word);
	buf_clear(&none);
	sasl_login_free(x);
	return rc;
}

static void
test_scram(void **state)
{
	(void)state;
	assert_int_equal(scram_run("alice", "alice", "pencil", false), 0);
	assert_int_equal(scram_run("a,b=c", "a=2Cb=3Dc", "x", false), 0);
	assert_int_equal(scram_run("alice", "alice", "pencil", true), -1);
}

static void
test_scram_lies(void **state)
{
	static const char *const lies[] = {
	    "r=other,s=c2FsdA==,i=4096",
	    "",
	    "i=4096",
	    "r=,s=,i=",
	    "m=ext,r=x,s=c2FsdA==,i=4096",
	    "r=%s,s=c2FsdA==,i=4294967295",
	    "r=%s,s=c2FsdA==,i=200001",
	    "r=%s,s=c2FsdA==,i= 99999999",
	    "r=%s,s=c2FsdA==,i=-1",
	    "r=%s,s=c2FsdA==,i=1,i=99999999",
	    "r=%s,s=!!!!,i=4096",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct sasl_login *x = login_new("SCRAM-SHA-256", "alice", "pencil");
		struct buf b = BUF_INIT, lie = BUF_INIT;
		bool has;

		assert_int_equal(sasl_login_start(x, &b, &has), 0);
		const char *nonce = strstr(buf_cstr(&b), "r=") + 2;
		struct span rest = span_of(lies[i]);
		while (rest.p != NULL) { /* no format from a table */
			struct span part = span_cut(&rest, '%');

			buf_add_span(&lie, part);
			if (rest.p == NULL)
				break;
			buf_add_str(&lie, nonce);
			buf_add_str(&lie, "SRV");
			rest = (struct span){rest.p + 1, rest.n - 1};
		}
		buf_reset(&b);
		if (sasl_login_step(x, buf_span(&lie), &b) == 0)
			fail_msg("believed: %s", buf_cstr(&lie));
		assert_false(sasl_login_is_done(x));
		buf_clear(&b);
		buf_clear(&lie);
		sasl_login_free(x);
	}
}

/* RFC 5802, 5.1: it says why not, and nothing behind that is part of the exchange. */
static void
test_scram_error(void **state)
{
	static const char *const then[] = {"e=other-error", "v=QSXCR+Q6sek8bf92", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(then); i++) {
		struct sasl_login *x = login_new("SCRAM-SHA-256", "alice", "pencil");
		struct buf b = BUF_INIT;
		bool has;

		assert_int_equal(sasl_login_start(x, &b, &has), 0);
		buf_reset(&b);
		assert_int_equal(sasl_login_step(x, span_of("e=unknown-user"), &b), 0);
		assert_int_equal(buf_len(&b), 0);
		assert_false(sasl_login_is_done(x));
		assert_int_equal(sasl_login_step(x, span_of(then[i]), &b), -1);
		assert_false(sasl_login_is_done(x));
		buf_clear(&b);
		sasl_login_free(x);
	}
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *
many(void *arg)
{
	size_t *good = arg;

	for (unsigned i = 0; i < 50; i++) {
		struct secret s = {NULL, 0};
		struct buf b = BUF_INIT;
		struct sasl_login *x;
		bool has = false;
		char user[32];

		str_printf(user, sizeof(user), "user%u", i);
		secret_set(&s, user, strlen(user));
		x = sasl_login_new("PLAIN", "mail.example.com", user, &s);
		if (x != NULL && sasl_login_start(x, &b, &has) == 0 && has &&
		    buf_len(&b) == 2 * strlen(user) + 2 &&
		    memcmp(buf_data(&b) + 1, user, strlen(user) + 1) == 0)
			(*good)++;
		sasl_login_free(x);
		buf_wipe(&b);
		secret_clear(&s);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[8];
	size_t good[ARRAY_LEN(threads)] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many, &good[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(good[i], 50);
	}
}

/* libsasl2 finds this one before libc's. */
static int n_lookups;
int count_getaddrinfo(
    const char *, const char *, const struct addrinfo *, struct addrinfo **) __asm__("getaddrinfo");

int
count_getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	(void)node, (void)service, (void)hints, (void)out;
	n_lookups++;
	return EAI_AGAIN;
}

/* C2: a login waits for no name server, whatever this machine is called. */
static void
test_no_lookup(void **state)
{
	struct secret password = {NULL, 0};
	struct sasl_login *x;
	struct utsname u;
	char name[sizeof(u.nodename)] = "";

	(void)state;
	secret_set(&password, "p", 1);
	x = sasl_login_new("PLAIN", "mail.example.com", "ann", &password);
	assert_non_null(x);
	assert_int_equal(n_lookups, 0);
	sasl_login_free(x);
	secret_clear(&password);
	/* and nobody else is told another name for it */
	assert_int_equal(uname(&u), 0);
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	assert_string_equal(name, u.nodename);
	assert_int_equal(gethostname(name, 1), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

static int
set_up(void **state)
{
	char err[200];

	(void)state;
	if (sasl_login_open(err, sizeof(err)) == -1)
		return -1;
	return sasl_login_open(err, sizeof(err)); /* again is harmless */
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_lookup),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_login),
	    cmocka_unit_test(test_cram_md5),
	    cmocka_unit_test(test_scram),
	    cmocka_unit_test(test_scram_lies),
	    cmocka_unit_test(test_scram_error),
	    cmocka_unit_test(test_threads),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("sasl_login", tests, set_up, NULL);
}
