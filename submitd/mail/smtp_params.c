/* SPDX-License-Identifier: ISC */
/*
 * ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2, 1870, 3461, 4954, 6152, 6531,
 * 6533) and the xtext encoding they use. Pure; called by the front for every
 * transaction. What is not known is refused, never ignored: a client that asks
 * for something must not believe that it got it. A value goes into the error text
 * only after it was found to be printable.
 */
#include "mail/smtp_params.h"
#include "base/str.h"

#include <string.h>

#define ENVID_MAX 100 /* RFC 3461, 4.4 */
#define ORCPT_MAX 500 /* RFC 3461, 4.2 */
#define KEYWORD_SHOWN 40

/* Where the parameters of one command go. */
struct target {
	struct smtp_mail_params *mail;
	struct smtp_rcpt_params *rcpt;
};

enum value_rule {
	VALUE_NONE = 0,
	VALUE_NEEDED = 1,
};

struct param {
	const char *keyword;
	enum value_rule value;
	int (*set)(const struct target *, struct span); /* -1: bad value, -2: not offered */
	const char *wanted;                             /* for the reply */
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int
xtext_decode(struct span s, struct buf *out)
{
	size_t before = buf_len(out);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if (c == '+') {
			if (s.n - i < 3 || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
				goto bad;
			c = (uint8_t)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
			i += 2;
		} else if (c <= ' ' || c == '=' || c == 0x7f)
			goto bad;
		buf_add_byte(out, c);
	}
	return 0;
bad:
	buf_truncate(out, before);
	return -1;
}

void
xtext_encode(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if (c <= ' ' || c == '+' || c == '=' || c >= 0x7f)
			buf_addf(out, "+%02X", c);
		else
			buf_add_byte(out, c);
	}
}

/* RFC 6533, 3: EmbeddedUnicodeChar, "\x{" 2 to 6 hex digits "}". Octets taken, 0: it is none. */
static size_t
embedded_char(struct span s, struct buf *out)
{
	uint32_t c = 0;
	size_t i = 3;

	if (s.n < 6 || s.p[1] != 'x' || s.p[2] != '{')
		return 0;
	for (; i < s.n && i < 9 && hex_value(s.p[i]) >= 0; i++)
		c = c * 16 + (uint32_t)hex_value(s.p[i]);
	if (i < 5 || i >= s.n || s.p[i] != '}' || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
	    c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 0;
	utf8_add(out, c);
	return i + 1;
}

int
orcpt_decode(struct span s, struct buf *out)
{
	struct span text = s, type = span_cut(&text, ';');
	struct buf plain = BUF_INIT, done = BUF_INIT;
	bool utf8;
	int rc = -1;

	if (text.p == NULL || text.n == 0 || type.n == 0 || type.n > 20)
		return -1;
	for (size_t i = 0; i < type.n; i++)
		if (strchr("()<>@,;:\\\".[]/=+", type.p[i]) != NULL || type.p[i] <= ' ' ||
		    type.p[i] == 0x7f)
			return -1;
	utf8 = span_eq_nocase(type, "utf-8");
	buf_add_span(&done, type);
	buf_add_byte(&done, ';');
	if (xtext_decode(text, &plain) == -1)
		goto out;
	text = buf_span(&plain);
	if (utf8) {
		for (size_t i = 0; i < text.n;) {
			struct span rest = {text.p + i, text.n - i};
			size_t n = 1;

			if (rest.p[0] != '\\')
				buf_add_byte(&done, (uint8_t)rest.p[0]);
			else if ((n = embedded_char(rest, &done)) == 0)
				goto out;
			i += n;
		}
		if (!utf8_valid(buf_span(&done)))
			goto out;
	} else {
		if (!str_is_ascii(text))
			goto out;
		buf_add_span(&done, text);
	}
	if (str_has_control(buf_span(&done)))
		goto out;
	buf_add_span(out, buf_span(&done));
	rc = 0;
out:
	buf_clear(&plain);
	buf_clear(&done);
	return rc;
}

static int
set_size(const struct target *t, struct span v)
{
	if (v.n == 0 || v.n > 20) /* RFC 1870, 3: 1*20DIGIT */
		return -1;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < '0' || v.p[i] > '9')
			return -1;
	/* 20 digits may be more than 64 bits: too large for us in any case */
	if (span_to_u64(v, 0, UINT64_MAX, &t->mail->size) == -1)
		t->mail->size = UINT64_MAX;
	t->mail->has_size = true;
	return 0;
}

static int
set_body(const struct target *t, struct span v)
{
	if (span_eq_nocase(v, "8BITMIME"))
		t->mail->body_8bit = true;
	else if (span_eq_nocase(v, "BINARYMIME"))
		return -2; /* RFC 3030: not offered, since few next hops could be given it */
	else if (!span_eq_nocase(v, "7BIT"))
		return -1;
	return 0;
}

static int
set_smtputf8(const struct target *t, struct span v)
{
	(void)v;
	t->mail->smtputf8 = true;
	return 0;
}

static int
set_ret(const struct target *t, struct span v)
{
	if (span_eq_nocase(v, "FULL"))
		t->mail->ret = RET_FULL;
	else if (span_eq_nocase(v, "HDRS"))
		t->mail->ret = RET_HDRS;
	else
		return -1;
	return 0;
}

static int
set_envid(const struct target *t, struct span v)
{
	struct buf clear = BUF_INIT;
	int rc = -1;

	/* RFC 3461, 4.4: printable ASCII once decoded */
	if (v.n > 0 && v.n <= ENVID_MAX && xtext_decode(v, &clear) == 0 &&
	    str_is_ascii(buf_span(&clear)) && !str_has_control(buf_span(&clear)))
		rc = str_copy_span(t->mail->envid, sizeof(t->mail->envid), v);
	buf_clear(&clear);
	return rc;
}

static int
set_auth(const struct target *t, struct span v)
{
	struct buf clear = BUF_INIT;
	struct addr a;
	int rc = -1;

	/* RFC 4954, 5: "<>" or an address, in xtext */
	if (span_eq(v, "<>"))
		return str_copy(t->mail->auth, sizeof(t->mail->auth), "<>");
	if (v.n > 0 && xtext_decode(v, &clear) == 0 && buf_len(&clear) > 0 &&
	    addr_parse(buf_span(&clear), ADDR_ALLOW_UTF8, &a) == ADDR_OK) {
		addr_format(&a, t->mail->auth);
		rc = 0;
	}
	buf_clear(&clear);
	return rc;
}

static int
set_notify(const struct target *t, struct span v)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
	    {"NEVER", NOTIFY_NEVER},
	    {"SUCCESS", NOTIFY_SUCCESS},
	    {"FAILURE", NOTIFY_FAILURE},
	    {"DELAY", NOTIFY_DELAY},
	};
	unsigned notify = 0;

	while (v.p != NULL) {
		struct span word = span_cut(&v, ',');
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_eq_nocase(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0 || (notify & bit) != 0)
			return -1;
		notify |= bit;
	}
	/* RFC 3461, 4.1: NEVER stands alone */
	if ((notify & NOTIFY_NEVER) != 0 && notify != NOTIFY_NEVER)
		return -1;
	t->rcpt->notify = notify;
	return 0;
}

static int
set_orcpt(const struct target *t, struct span v)
{
	struct buf clear = BUF_INIT;
	int rc = -1;

	if (v.n <= ORCPT_MAX && orcpt_decode(v, &clear) == 0)
		rc = str_copy_span(t->rcpt->orcpt, sizeof(t->rcpt->orcpt), v);
	buf_clear(&clear);
	return rc;
}

/* clang-format off */
static const struct param mail_params[] = {
	{"SIZE",     VALUE_NEEDED, set_size,     "a number of octets"},
	{"BODY",     VALUE_NEEDED, set_body,     "7BIT or 8BITMIME"},
	{"SMTPUTF8", VALUE_NONE,   set_smtputf8, "no value"},
	{"RET",      VALUE_NEEDED, set_ret,      "FULL or HDRS"},
	{"ENVID",    VALUE_NEEDED, set_envid,    "at most 100 characters of xtext"},
	{"AUTH",     VALUE_NEEDED, set_auth,     "<> or an address in xtext"},
	{NULL,       VALUE_NONE,   NULL,         NULL},
};
static const struct param rcpt_params[] = {
	{"NOTIFY",   VALUE_NEEDED, set_notify,   "NEVER, or a list of SUCCESS, FAILURE, DELAY"},
	{"ORCPT",    VALUE_NEEDED, set_orcpt,    "rfc822; or utf-8; and an address in xtext"},
	{NULL,       VALUE_NONE,   NULL,         NULL},
};
/* clang-format on */

/* RFC 5321, 4.1.2: esmtp-keyword */
static bool
keyword_ok(struct span k)
{
	for (size_t i = 0; i < k.n; i++) {
		char c = k.p[i];
		bool alnum =
		    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!alnum && (c != '-' || i == 0))
			return false;
	}
	return k.n > 0;
}

static int
set_one(const struct param *table, const struct target *t, unsigned *seen, struct span word,
    struct smtp_params_error *err)
{
	struct span value = word, key = span_cut(&value, '=');
	int shown = key.n < KEYWORD_SHOWN ? (int)key.n : KEYWORD_SHOWN;
	const struct param *p;
	int rc;

	err->code = 501;
	err->esc = "5.5.4";
	if (!keyword_ok(key)) {
		(void)str_copy(err->text, sizeof(err->text), "Parameters must be KEYWORD=value");
		return -1;
	}
	for (p = table; p->keyword != NULL && !span_eq_nocase(key, p->keyword); p++)
		;
	if (p->keyword == NULL) {
		err->code = 555;
		(void)str_printf(err->text, sizeof(err->text),
		    "Parameter %.*s is not supported here", shown, key.p);
		return -1;
	}
	if ((*seen & 1u << (p - table)) != 0) {
		(void)str_printf(
		    err->text, sizeof(err->text), "Parameter %s is given twice", p->keyword);
		return -1;
	}
	*seen |= 1u << (p - table);
	if (p->value == VALUE_NONE ? value.p != NULL : value.p == NULL)
		rc = -1;
	else
		rc = p->set(t, value);
	if (rc == 0)
		return 0;
	if (rc == -2)
		err->code = 555;
	(void)str_printf(
	    err->text, sizeof(err->text), "Parameter %s must have %s", p->keyword, p->wanted);
	return -1;
}

static int
set_all(
    const struct param *table, const struct target *t, struct span s, struct smtp_params_error *err)
{
	unsigned seen = 0;

	if (s.n > 0 && s.p[0] != ' ') {
		err->code = 501;
		err->esc = "5.5.4";
		(void)str_copy(err->text, sizeof(err->text),
		    "A blank must stand between the address and the parameters");
		return -1;
	}
	while (s.p != NULL) {
		struct span word = span_cut(&s, ' ');

		if (word.n > 0 && set_one(table, t, &seen, word, err) == -1)
			return -1;
	}
	return 0;
}

int
smtp_params_mail(struct span s, struct smtp_mail_params *out, struct smtp_params_error *err)
{
	struct target t = {.mail = out};

	memset(out, 0, sizeof(*out));
	return set_all(mail_params, &t, s, err);
}

int
smtp_params_rcpt(struct span s, struct smtp_rcpt_params *out, struct smtp_params_error *err)
{
	struct target t = {.rcpt = out};

	memset(out, 0, sizeof(*out));
	return set_all(rcpt_params, &t, s, err);
}
