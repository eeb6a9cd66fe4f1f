/* SPDX-License-Identifier: ISC */
/*
 * Backend oauth: token introspection (RFC 7662) and key sets (RFC 7517) against a small
 * server, and when the key set is fetched: the clock of jwks_cache.c is ours.
 */
static _Atomic long clock_shift_ms;
#define auth_clock_ms shifted_clock_ms
#define http_client_ask shifted_ask
#include "authbackends/auth_worker.h"
#include "authbackends/http_client.h"
#include "authbackends/jwks_cache.c"
#undef auth_clock_ms
#undef http_client_ask
int64_t auth_clock_ms(void);
void http_client_ask(
    struct http_client *, const struct http_request *, struct http_answer *, struct auth_check *);

#include "base/list.h"
#include "http_test.h"
#include "token_test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

int64_t
shifted_clock_ms(void)
{
	return auth_clock_ms() + clock_shift_ms;
}

/* libcurl's clock is the real one. */
void
shifted_ask(struct http_client *h, const struct http_request *r, struct http_answer *a,
    struct auth_check *c)
{
	struct http_request real = *r;

	real.deadline_ms -= clock_shift_ms;
	http_client_ask(h, &real, a, c);
}

static struct http_test server;
static EVP_PKEY *key, *next_key;
static char audience_text[] = "mail", *audience[] = {audience_text};
static char secret_path[] = "/tmp/http-test-secret-XXXXXX";

static int
set_up(void **state)
{
	int fd = mkstemp(secret_path);

	(void)state;
	if (fd == -1 || write(fd, "s%cr:t\n", 7) != 7)
		return -1;
	close(fd);
	key = token_key("EC");
	next_key = token_key("ED25519");
	return key == NULL || next_key == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	EVP_PKEY_free(next_key);
	return unlink(secret_path);
}

static int
set_up_server(void **state)
{
	(void)state;
	clock_shift_ms = 0;
	http_test_start(&server);
	return 0;
}

static int
stop_server(void **state)
{
	(void)state;
	if (server.fd != -1)
		http_test_stop(&server);
	server.fd = -1;
	return 0;
}

static void *
open_backend(struct conf_backend *b)
{
	char title[] = "o", err[256] = "";
	void *self = NULL;

	b->title = xstrdup(title);
	if (authbackend_oauth.open(NULL, b, &self, err, sizeof(err)) == -1)
		fail_msg("%s", err);
	return self;
}

struct asked {
	enum verdict v;
	bool answered;
	char name[ADDR_TEXT], reason[AUTH_REASON_MAX];
	int64_t ms;
	struct buf trace;
};

static struct asked
ask(void *self, const char *token, int64_t timeout_ms)
{
	struct auth_check c = {.cred = CRED_TOKEN, .want_trace = true};
	struct asked r = {.ms = auth_clock_ms()};

	c.deadline_ms = shifted_clock_ms() + timeout_ms;
	secret_set(&c.password, token, strlen(token));
	r.v = authbackend_oauth.check(self, &c);
	r.ms = auth_clock_ms() - r.ms;
	r.answered = c.answered;
	(void)str_copy(r.name, sizeof(r.name), c.name);
	(void)str_copy(r.reason, sizeof(r.reason), c.reason);
	assert_null(strstr(buf_cstr(&c.trace), token));
	secret_clear(&c.password);
	buf_clear(&c.own);
	buf_clear(&c.trace);
	return r;
}

/* ---- introspection ----------------------------------------------------------------------------
 */

#define TOKEN "opaque+token/=="

static void
test_introspection(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum verdict want;
	} cases[] = {
	    {200, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\"}", V_OK},
	    {200, "{\"active\":true,\"username\":\"alice\",\"aud\":\"x\"}", V_PERM},
	    {200, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\",\"exp\":1}", V_PERM},
	    {200, "{\"active\":true,\"aud\":\"mail\"}", V_PERM},
	    {200, "{\"active\":false}", V_PERM},
	    {200, "{\"active\":false,\"username\":\"alice\",\"aud\":\"mail\"}", V_PERM},
	    {200, "{\"active\":\"true\",\"username\":\"alice\",\"aud\":\"mail\"}", V_TEMP},
	    {200, "{\"active\":true,\"active\":false,\"username\":\"a\"}", V_TEMP},
	    {200, "{\"username\":\"alice\",\"aud\":\"mail\"}", V_TEMP},
	    {200, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\"", V_TEMP},
	    {200, "", V_TEMP},
	    {200, TOKEN, V_TEMP},
	    {201, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\"}", V_TEMP},
	    {302, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\"}", V_TEMP},
	    {401, "{\"active\":true,\"username\":\"alice\",\"aud\":\"mail\"}", V_TEMP},
	    {403, "", V_TEMP},
	    {404, "", V_TEMP},
	    {503, "", V_TEMP},
	};
	char secret[64], id[] = "relay:1";
	struct conf_backend b = {.introspection_url = server.url,
	    .client_id = id,
	    .client_secret = secret,
	    .audience = {.v = audience, .n = 1}};
	struct asked r;
	void *self;
	size_t i;

	(void)state;
	assert_int_equal(str_printf(secret, sizeof(secret), "file:%s", secret_path), 0);
	self = open_backend(&b);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		http_test_answer(&server, cases[i].status, cases[i].body, 0);
		r = ask(self, TOKEN, 20000);
		if (r.v != cases[i].want || (r.v == V_OK) != (r.reason[0] == '\0'))
			fail_msg(
			    "%zu %d %s: %d %s", i, cases[i].status, cases[i].body, r.v, r.reason);
		if (r.v == V_OK)
			assert_string_equal(r.name, "alice");
	}
	assert_int_equal(atomic_load(&server.asked), ARRAY_LEN(cases));
	pthread_mutex_lock(&server.lock);
	const char *last = buf_cstr(&server.last);
	assert_non_null(strstr(last, "POST /x HTTP/1.1\r\n"));
	/* "relay%3A1:s%25cr%3At" */
	assert_non_null(strstr(last, "Authorization: Basic cmVsYXklM0ExOnMlMjVjciUzQXQ=\r\n"));
	assert_non_null(strstr(last, "Accept: application/json\r\n"));
	assert_null(strstr(last, "Expect"));
	assert_non_null(
	    strstr(last, "\r\n\r\ntoken=opaque%2Btoken%2F%3D%3D&token_type_hint=access_token"));
	pthread_mutex_unlock(&server.lock);
	/* one that never answers, then none at all */
	http_test_answer(&server, 200, "", -1);
	r = ask(self, TOKEN, 300);
	assert_int_equal(r.v, V_TEMP);
	assert_true(r.ms < 10000);
	http_test_stop(&server);
	server.fd = -1;
	r = ask(self, TOKEN, 20000);
	assert_int_equal(r.v, V_TEMP);
	authbackend_oauth.close(self);
	free(b.title);
}

/* ---- key sets ---------------------------------------------------------------------------------
 */

static void
add_set(struct buf *out, bool both)
{
	buf_reset(out);
	buf_add_str(out, "{\"keys\":[");
	token_jwk(out, key, "one", ",\"use\":\"sig\"");
	if (both) {
		buf_add_byte(out, ',');
		token_jwk(out, next_key, "two", "");
	}
	buf_add_str(out, "]}");
}

static void
add_token(struct buf *out, EVP_PKEY *k, const char *kid, const char *issuer)
{
	char header[100], claims[200];

	assert_int_equal(str_printf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}",
			     EVP_PKEY_get_base_id(k) == EVP_PKEY_EC ? "ES256" : "EdDSA", kid),
	    0);
	assert_int_equal(
	    str_printf(claims, sizeof(claims),
		"{\"iss\":\"%s\",\"aud\":\"mail\",\"exp\":%lld,\"email\":\"alice@example.com\"}",
		issuer, (long long)time(NULL) + 3600),
	    0);
	buf_reset(out);
	token_sign(out, k, header, claims, false);
	(void)buf_cstr(out);
}

#define ASK(token) ask(self, buf_cstr(&(token)), 20000)

static void
test_keys(void **state)
{
	char issuer[] = "https://i";
	struct conf_backend b = {.jwks_url = server.url,
	    .jwks_refresh = 3600000,
	    .issuer = issuer,
	    .audience = {.v = audience, .n = 1}};
	struct buf set = BUF_INIT, one = BUF_INIT, two = BUF_INIT, odd = BUF_INIT;
	struct asked r;
	void *self = open_backend(&b);

	(void)state;
	add_token(&one, key, "one", issuer);
	add_token(&two, next_key, "two", issuer);
	add_set(&set, false);
	/* no key set yet: temporary, and not asked again at once */
	http_test_answer(&server, 503, "", 0);
	assert_int_equal(ASK(one).v, V_TEMP);
	assert_int_equal(ASK(one).v, V_TEMP);
	assert_int_equal(atomic_load(&server.asked), 1);
	http_test_answer(&server, 200, "{\"keys\":[]}", 0);
	clock_shift_ms += JWKS_RETRY_MS;
	assert_int_equal(ASK(one).v, V_TEMP);
	assert_int_equal(atomic_load(&server.asked), 2);
	/* then it is there, and kept */
	http_test_answer(&server, 200, buf_cstr(&set), 0);
	clock_shift_ms += JWKS_RETRY_MS;
	r = ASK(one);
	assert_int_equal(r.v, V_OK);
	assert_string_equal(r.name, "alice@example.com");
	assert_int_equal(ASK(one).v, V_OK);
	assert_int_equal(atomic_load(&server.asked), 3);
	/* an unknown key: not known while the set is fresh, then asked for, and that is a no */
	r = ASK(two);
	assert_int_equal(r.v, V_TEMP);
	assert_true(r.answered);
	assert_non_null(strstr(r.reason, "too early"));
	assert_int_equal(atomic_load(&server.asked), 3);
	clock_shift_ms += JWKS_MIN_AGE_MS;
	r = ASK(two);
	assert_int_equal(r.v, V_PERM);
	assert_non_null(strstr(r.reason, "unknown key"));
	assert_int_equal(ASK(two).v, V_TEMP);
	assert_int_equal(ASK(one).v, V_OK);
	assert_int_equal(atomic_load(&server.asked), 4);
	/* a known one, but for another algorithm */
	token_sign(&odd, key, "{\"alg\":\"RS256\",\"kid\":\"one\"}",
	    "{\"iss\":\"https://i\",\"aud\":\"mail\",\"email\":\"alice@example.com\"}", false);
	r = ASK(odd);
	assert_int_equal(r.v, V_PERM);
	assert_non_null(strstr(r.reason, "algorithm"));
	add_set(&set, true);
	http_test_answer(&server, 200, buf_cstr(&set), 0);
	clock_shift_ms += JWKS_MIN_AGE_MS;
	assert_int_equal(ASK(two).v, V_OK);
	assert_int_equal(atomic_load(&server.asked), 5);
	/* others' tokens, and what is none, are not ours to judge */
	add_token(&odd, key, "one", "https://j");
	assert_int_equal(ASK(odd).v, V_NEXT);
	assert_int_equal(ask(self, "opaque", 20000).v, V_NEXT);
	assert_int_equal(ask(self, "eyJhbGciOiJub25lIn0.e30.", 20000).v, V_PERM);
	/* signed by somebody else under our key's name */
	add_token(&odd, next_key, "one", issuer);
	assert_int_equal(ASK(odd).v, V_PERM);
	assert_int_equal(atomic_load(&server.asked), 5);
	/* the server is gone: the old set does for a day, a new key is temporary */
	http_test_stop(&server);
	server.fd = -1;
	clock_shift_ms += b.jwks_refresh;
	assert_int_equal(ASK(one).v, V_OK);
	add_token(&odd, key, "three", issuer);
	assert_int_equal(ASK(odd).v, V_TEMP);
	clock_shift_ms += JWKS_STALE_MS;
	assert_int_equal(ASK(one).v, V_TEMP);
	authbackend_oauth.close(self);
	free(b.title);
	buf_clear(&set);
	buf_clear(&one);
	buf_clear(&two);
	buf_clear(&odd);
}

struct one_of_many {
	void *self;
	const char *token;
	enum verdict v;
	atomic_int *done; /* or NULL */
};

static void *
ask_thread(void *arg)
{
	struct one_of_many *m = arg;
	struct auth_check c = {.cred = CRED_TOKEN, .deadline_ms = shifted_clock_ms() + 30000};

	secret_set(&c.password, m->token, strlen(m->token));
	m->v = authbackend_oauth.check(m->self, &c);
	secret_clear(&c.password);
	if (m->done != NULL)
		atomic_fetch_add(m->done, 1);
	return NULL;
}

/* Many at once make one fetch; with a refresh that hangs nobody waits but who fetches. */
static void
test_many(void **state)
{
	char issuer[] = "https://i";
	struct conf_backend b = {.jwks_url = server.url,
	    .jwks_refresh = 3600000,
	    .issuer = issuer,
	    .audience = {.v = audience, .n = 1}};
	struct one_of_many many[8];
	struct buf set = BUF_INIT, one = BUF_INIT;
	pthread_t threads[8];
	void *self = open_backend(&b);
	struct asked r;
	size_t i;

	(void)state;
	add_token(&one, key, "one", issuer);
	add_set(&set, false);
	http_test_answer(&server, 200, buf_cstr(&set), 200);
	for (i = 0; i < ARRAY_LEN(many); i++) {
		many[i] = (struct one_of_many){self, buf_cstr(&one), V_TEMP, NULL};
		assert_int_equal(pthread_create(&threads[i], NULL, ask_thread, &many[i]), 0);
	}
	for (i = 0; i < ARRAY_LEN(many); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(many[i].v, V_OK);
	}
	assert_int_equal(atomic_load(&server.asked), 1);
	/* half of the time is left for the old set */
	http_test_answer(&server, 200, "", -1);
	clock_shift_ms += b.jwks_refresh;
	r = ask(self, buf_cstr(&one), 2000);
	assert_int_equal(r.v, V_OK);
	assert_in_range(r.ms, 500, 1900);
	r = ask(self, buf_cstr(&one), 2000);
	assert_int_equal(r.v, V_OK);
	assert_int_equal(atomic_load(&server.asked), 2);
	authbackend_oauth.close(self);
	free(b.title);
	buf_clear(&set);
	buf_clear(&one);
}

/*
 * Made-up keys: one asks for new keys and learns the no, half of the workers wait for it, the
 * others leave at once, and a token of a known key does not notice.
 */
static void
test_flood(void **state)
{
	char issuer[] = "https://i";
	struct conf_backend b = {.jwks_url = server.url,
	    .jwks_refresh = 3600000,
	    .concurrency = 8,
	    .issuer = issuer,
	    .audience = {.v = audience, .n = 1}};
	struct buf set = BUF_INIT, one = BUF_INIT, odd[8] = {BUF_INIT};
	const int want_done = 8 - 1 - 4;
	struct one_of_many many[8];
	pthread_t threads[8];
	void *self = open_backend(&b);
	atomic_int done = 0;
	size_t i, n[V__MAX] = {0};
	char kid[16];

	(void)state;
	add_token(&one, key, "one", issuer);
	add_set(&set, false);
	http_test_answer(&server, 200, buf_cstr(&set), 0);
	assert_int_equal(ASK(one).v, V_OK);
	atomic_store(&server.hold, true);
	clock_shift_ms += JWKS_MIN_AGE_MS;
	for (i = 0; i < ARRAY_LEN(many); i++) {
		assert_int_equal(str_printf(kid, sizeof(kid), "k%zu", i), 0);
		add_token(&odd[i], next_key, kid, issuer);
		many[i] = (struct one_of_many){self, buf_cstr(&odd[i]), V_OK, &done};
		assert_int_equal(pthread_create(&threads[i], NULL, ask_thread, &many[i]), 0);
	}
	for (i = 0; i < 15000 && (atomic_load(&done) < want_done || atomic_load(&server.asked) < 2);
	     i++)
		usleep(1000);
	assert_int_equal(ASK(one).v, V_OK);
	assert_int_equal(atomic_load(&done), want_done);
	atomic_store(&server.hold, false);
	for (i = 0; i < ARRAY_LEN(many); i++) {
		pthread_join(threads[i], NULL);
		n[many[i].v]++;
		buf_clear(&odd[i]);
	}
	assert_int_equal(n[V_PERM], 1);
	assert_int_equal(n[V_TEMP], 7);
	assert_int_equal(atomic_load(&server.asked), 2);
	authbackend_oauth.close(self);
	free(b.title);
	buf_clear(&set);
	buf_clear(&one);
}

static void
test_file(void **state)
{
	char path[] = "/tmp/http-test-keys-XXXXXX", issuer[] = "https://i", err[256] = "";
	struct conf_backend b = {
	    .jwks_file = path, .issuer = issuer, .audience = {.v = audience, .n = 1}};
	struct buf set = BUF_INIT, one = BUF_INIT;
	int fd = mkstemp(path);
	void *self = NULL;

	(void)state;
	add_token(&one, key, "one", issuer);
	/* empty */
	assert_int_equal(authbackend_oauth.open(NULL, &b, &self, err, sizeof(err)), -1);
	assert_non_null(strstr(err, path));
	add_set(&set, false);
	assert_int_equal(write(fd, buf_data(&set), buf_len(&set)), buf_len(&set));
	close(fd);
	self = open_backend(&b);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ASK(one).v, V_OK);
	clock_shift_ms += 30LL * 86400000;
	assert_int_equal(ASK(one).v, V_OK); /* a file has no age */
	add_token(&one, next_key, "two", issuer);
	assert_int_equal(ASK(one).v, V_PERM);
	assert_int_equal(authbackend_oauth.open(NULL, &b, &self, err, sizeof(err)), -1);
	authbackend_oauth.close(self);
	free(b.title);
	buf_clear(&set);
	buf_clear(&one);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_introspection, set_up_server, stop_server),
	    cmocka_unit_test_setup_teardown(test_keys, set_up_server, stop_server),
	    cmocka_unit_test_setup_teardown(test_many, set_up_server, stop_server),
	    cmocka_unit_test_setup_teardown(test_flood, set_up_server, stop_server),
	    cmocka_unit_test_setup_teardown(test_file, set_up_server, stop_server),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("backend_oauth", tests, set_up, tear_down);
}
