/* SPDX-License-Identifier: ISC */
/*
 * Backend "oauth": bearer tokens of OAUTHBEARER and XOAUTH2 (RFC 7628), checked by
 * asking the server that made them (RFC 7662), or by its public keys (RFC 7519).
 * Process auth, on workers. Must never believe a claim before the signature was
 * verified or the server called the token active.
 */
#include "authbackends/authbackend.h"
#include "authbackends/backend_alarm.h"
#include "authbackends/http_client.h"
#include "authbackends/http_trace.h"
#include "authbackends/http_verdict.h"
#include "authbackends/json_answer.h"
#include "authbackends/jwks_cache.h"
#include "authbackends/token_claims.h"

#include "base/fs.h"
#include "base/str.h"
#include "base/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECRET_FILE_MAX 4096u

struct oauth {
	const struct conf_backend *block;
	struct token_rule rule;
	struct http_client *client; /* NULL: jwks_file */
	struct jwks_cache *keys;    /* NULL: introspection */
	struct secret id, secret;   /* as they go into Basic; empty: none */
	struct backend_alarm alarm;
};

/* ---- opening ----------------------------------------------------------------------------------
 */

static void
oauth_close(void *self)
{
	struct oauth *o = self;

	if (o == NULL)
		return;
	jwks_cache_free(o->keys);
	http_client_free(o->client);
	secret_clear(&o->id);
	secret_clear(&o->secret);
	backend_alarm_clear(&o->alarm);
	free(o);
}

/* RFC 6749, 2.3.1: both are encoded as in a form before they go into Basic. */
static void
encode_credential(struct secret *out, struct span value)
{
	struct buf b = BUF_INIT;

	(void)buf_reserve(&b, 3 * value.n + 1);
	url_encode(&b, value);
	secret_set(out, buf_data(&b), buf_len(&b));
	buf_wipe(&b);
}

static int
read_client(struct oauth *o, char *err, size_t errsize)
{
	const struct conf_backend *b = o->block;
	struct buf text = BUF_INIT;
	struct span rest, line;
	int result = -1;

	if (b->client_id == NULL || b->client_secret == NULL)
		return 0;
	if (strncmp(b->client_secret, "file:", 5) != 0) {
		(void)str_copy(err, errsize, "client_secret is no file:/PATH");
		return -1;
	}
	if (fs_read_file(b->client_secret + 5, SECRET_FILE_MAX, &text) == -1) {
		(void)str_printf(
		    err, errsize, "cannot read %s: %s", b->client_secret + 5, strerror(errno));
		goto out;
	}
	rest = buf_span(&text);
	line = span_cut(&rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0 || (rest.p != NULL && rest.n > 0)) {
		(void)str_printf(err, errsize, "%s does not hold one line", b->client_secret + 5);
		goto out;
	}
	encode_credential(&o->id, span_of(b->client_id));
	encode_credential(&o->secret, line);
	result = 0;
out:
	buf_wipe(&text);
	return result;
}

static int
read_keys(struct oauth *o, char *err, size_t errsize)
{
	const char *path = o->block->jwks_file, *why = "";
	struct buf text = BUF_INIT;
	struct jwks *set;

	if (fs_read_file(path, JWKS_BYTES_MAX, &text) == -1) {
		(void)str_printf(err, errsize, "cannot read %s: %s", path, strerror(errno));
		return -1;
	}
	set = jwks_parse(buf_span(&text), &why);
	buf_clear(&text);
	if (set == NULL) {
		(void)str_printf(err, errsize, "%s: %s", path, why);
		return -1;
	}
	o->keys = jwks_cache_new_fixed(set);
	return 0;
}

static int
open_source(struct oauth *o, char *err, size_t errsize)
{
	const struct conf_backend *b = o->block;
	const char *url = b->introspection_url != NULL ? b->introspection_url : b->jwks_url;
	struct url u;

	if (url == NULL)
		return b->jwks_file == NULL ? -1 : read_keys(o, err, errsize);
	if (url_parse(span_of(url), &u) != NULL)
		return -1;
	o->client = http_client_new(b->ca_file, u.https, err, errsize);
	if (o->client == NULL)
		return -1;
	if (b->introspection_url != NULL)
		return read_client(o, err, errsize);
	o->keys = jwks_cache_new(o->client, url, b->jwks_refresh, (unsigned)b->concurrency / 2);
	return 0;
}

static int
oauth_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	struct oauth *o = xcallocarray(1, sizeof(*o));
	char why[256] = "it has no usable URL";

	(void)conf;
	o->block = block;
	backend_alarm_init(&o->alarm);
	if (open_source(o, why, sizeof(why)) == -1) {
		(void)str_printf(err, errsize, "backend \"%s\": %s", block->title, why);
		oauth_close(o);
		return -1;
	}
	o->rule = (struct token_rule){.issuer = block->issuer,
	    .audience = &block->audience,
	    .scope = block->scope,
	    .user = block->username_claim,
	    .addresses = block->addresses_claim,
	    .need_expiry = o->keys != NULL};
	if (o->rule.user == NULL)
		o->rule.user = o->keys != NULL ? "email" : "username";
	*self = o;
	return 0;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static enum verdict
answer(struct auth_check *c, enum verdict v, const char *why)
{
	(void)str_copy(c->reason, sizeof(c->reason), why);
	return v;
}

/* What a token says, for auth-test. Without its signature nobody can use it. */
static void
trace_token(struct auth_check *c, const struct jwt *t)
{
	struct buf shown = BUF_INIT;
	char *claims;

	if (!c->want_trace)
		return;
	claims = json_dumps(t->claims, JSON_COMPACT);
	http_trace_shown(&shown, span_of(t->kid), c);
	auth_check_trace(c, "token: key id \"%s\"", buf_cstr(&shown));
	buf_reset(&shown);
	http_trace_shown(&shown, span_of(claims), c);
	auth_check_trace(c, "claims: %s", buf_cstr(&shown));
	buf_wipe(&shown);
	free(claims);
}

static enum verdict
check_signed(struct oauth *o, struct auth_check *c, bool *lasting)
{
	struct span token = {c->password.data, c->password.len};
	const char *why = "";
	enum verdict v = V_TEMP;
	struct jwt t;

	switch (jwt_parse(token, &t, &why)) {
	case JWT_NO_JWT:
		v = answer(c, V_NEXT, why);
		goto out;
	case JWT_REFUSED:
		v = answer(c, V_PERM, why);
		goto out;
	case JWT_TAKEN:
		break;
	}
	trace_token(c, &t);
	/* not believed, only believed to be somebody else's: another backend may know them */
	if (o->rule.issuer != NULL && !token_claims_from(t.claims, o->rule.issuer)) {
		v = answer(c, V_NEXT, "the token is from another issuer");
		goto out;
	}
	v = jwks_cache_verify(o->keys, &t, c, lasting);
	if (v == V_OK)
		v = token_claims_judge(&o->rule, t.claims, (int64_t)time(NULL), c);
out:
	jwt_clear(&t);
	return v;
}

/* RFC 7662, 2.2 */
static enum verdict
judge_introspection(
    const struct oauth *o, const struct http_answer *a, struct auth_check *c, bool *lasting)
{
	enum verdict v = V_TEMP;
	const json_t *active;
	json_t *j;

	c->answered = http_status_is_answer(a->status);
	if (a->status == 401 || a->status == 403) {
		*lasting = true;
		return answer(c, V_TEMP, "the server does not take client_id and client_secret");
	}
	if (a->status != 200) {
		*lasting = http_status_is_lasting(a->status);
		(void)str_printf(
		    c->reason, sizeof(c->reason), "the server answered %ld", a->status);
		return V_TEMP;
	}
	j = json_answer_parse(buf_span(&a->body));
	active = json_object_get(j, "active");
	if (!json_is_boolean(active))
		v = answer(c, V_TEMP, "the answer is no token introspection");
	else if (!json_is_true(active))
		v = answer(c, V_PERM, "the server says that the token is not active");
	else
		v = token_claims_judge(&o->rule, j, (int64_t)time(NULL), c);
	json_decref(j);
	return v;
}

static enum verdict
check_introspection(struct oauth *o, struct auth_check *c, bool *lasting)
{
	static const char before[] = "token=", after[] = "&token_type_hint=access_token";
	struct buf body = BUF_INIT;
	struct http_answer a = {0};
	enum verdict v = V_TEMP;

	(void)buf_reserve(&body, sizeof(before) + 3 * c->password.len + sizeof(after));
	buf_add_str(&body, before);
	url_encode(&body, (struct span){c->password.data, c->password.len});
	buf_add_str(&body, after);
	const struct http_request r = {
	    .url = o->block->introspection_url,
	    .post = true,
	    .json = true,
	    .body = buf_span(&body),
	    .content_type = "application/x-www-form-urlencoded",
	    .user = o->id.len > 0 ? o->id.data : NULL,
	    .password = o->secret.data,
	    .deadline_ms = c->deadline_ms,
	    .shown_url = span_of(o->block->introspection_url),
	};
	http_client_ask(o->client, &r, &a, c);
	if (a.status == 0) {
		(void)str_copy(c->reason, sizeof(c->reason), a.error);
		*lasting = a.operator_must_act;
	} else {
		v = judge_introspection(o, &a, c, lasting);
	}
	http_answer_clear(&a);
	buf_wipe(&body);
	return v;
}

static enum verdict
oauth_check(void *self, struct auth_check *c)
{
	struct oauth *o = self;
	bool lasting = false;
	enum verdict v;

	v = o->keys != NULL ? check_signed(o, c, &lasting) : check_introspection(o, c, &lasting);
	if (lasting)
		backend_alarm_raise(&o->alarm, c->reason);
	return v;
}

static void
oauth_tick(void *self, void (*want_file)(const char *path))
{
	struct oauth *o = self;

	(void)want_file;
	backend_alarm_tick(&o->alarm, o->block->title);
}

const struct authbackend authbackend_oauth = {
    .name = "oauth",
    .knows_users = true,
    .remote = true,
    .creds = CRED_BIT(CRED_TOKEN),
    .open = oauth_open,
    .check = oauth_check,
    .close = oauth_close,
    .tick = oauth_tick,
};
