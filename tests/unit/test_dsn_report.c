/* SPDX-License-Identifier: ISC */
/*
 * D2, D3: delivery reports. With "--print NAME" the program writes one sample report
 * with LF line ends, which tests/interop/bounceparser.t gives to a foreign parser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/dsn_report.h"

#define UE "\xc3\xbc"
#define MAX_RCPTS 3

struct sample {
	const char *name;
	const char *sender;
	const char *envid;
	struct {
		const char *rcpt, *orcpt;
		enum dsn_action action;
		enum verdict verdict;
		unsigned code;
		const char *esc, *text, *remote, *ip, *diagnosis;
	} rcpts[MAX_RCPTS];
	const char *original;
	bool full;
};

#define HEADER "From: me@here.example\r\nTo: you@there.example\r\nSubject: Lunch\r\n"

static const struct sample samples[] = {
    {"unknown", "me@here.example", "abc+2Bdef",
	{{"bob@there.example", "rfc822;bob+2Bx@alias.example", DSN_FAILED, V_PERM, 550, "5.1.1",
	    "5.1.1 <bob@there.example>: Recipient address rejected: User unknown",
	    "mx.there.example", "192.0.2.25", NULL}},
	HEADER, false},
    {"full", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_FAILED, V_PERM, 552, "5.2.2", "Mailbox is full",
	    "mx.there.example", "192.0.2.25", NULL}},
	HEADER "\r\nbody\r\n.\r\n", true},
    {"domain", "me@here.example", NULL,
	{{"bob@nowhere.example", NULL, DSN_FAILED, V_PERM, 0, "5.1.2",
	    "Host or domain name not found", NULL, NULL,
	    "The domain nowhere.example does not exist."}},
	HEADER, false},
    {"spam", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_FAILED, V_PERM, 554, "5.7.1",
	    "5.7.1 Message rejected as spam by Content Filtering.", "mx.there.example",
	    "2001:db8::25", NULL}},
	HEADER, false},
    {"delayed", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_DELAYED, V_TEMP, 0, "4.4.1", "Connection timed out",
	    "mx.there.example", "192.0.2.25", NULL}},
	HEADER, false},
    {"success", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_RELAYED, V_OK, 250, NULL, "OK", "mx.there.example",
	     "192.0.2.25", NULL},
	    {"eve@there.example", NULL, DSN_DELIVERED, V_OK, 250, "2.1.5", "2.1.5 fine",
		"mx.there.example", "192.0.2.25", NULL}},
	HEADER, false},
    {"several", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_FAILED, V_PERM, 550, "5.1.1", "User unknown",
	     "mx.there.example", "192.0.2.25", NULL},
	    {"eve@there.example", NULL, DSN_FAILED, V_TEMP, 451, "4.7.1", "Greylisted",
		"mx.there.example", "192.0.2.25", NULL},
	    {"j" UE "rg@b" UE "cher.example", "utf-8;j\\x{FC}rg@x.example", DSN_FAILED, V_PERM, 550,
		NULL, "kein J" UE "rg hier", "mx.there.example", "192.0.2.25", NULL}},
	HEADER, false},
    {"utf8", "j" UE "rg@here.example", NULL,
	{{"j" UE "rg@b" UE "cher.example", "utf-8;j\\x{FC}rg@x.example", DSN_FAILED, V_PERM, 550,
	    "5.1.1", "kein J" UE "rg hier", "mx.there.example", "192.0.2.25", NULL}},
	"From: j" UE "rg@here.example\r\nSubject: " UE "\r\n\r\nbody\r\n", true},
    {"hostile", "me@here.example", NULL,
	{{"bob@there.example", NULL, DSN_FAILED, V_PERM, 550, "5.1.1",
	    "no\r\n\r\n--=_02000000-0000-0000-0000-000000000000.0\r\nAction: delivered\r\n",
	    "evil\r\nAction: delivered", "192.0.2.25", NULL}},
	"Subject: --=_02000000-0000-0000-0000-000000000000.1\r\n", false},
};

static const struct sample *
sample_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		if (strcmp(samples[i].name, name) == 0)
			return &samples[i];
	return NULL;
}

static bool
build(const struct sample *s, struct buf *out)
{
	struct message *m = message_new();
	struct dsn_rcpt d[MAX_RCPTS] = {0};
	struct status st[MAX_RCPTS] = {0};
	struct dsn_options o = {.hostname = "mx.here.example",
	    .postmaster = "postmaster@here.example",
	    .mid = {{2}},
	    .now_ms = 1700000000000,
	    .original = span_of(s->original),
	    .original_full = s->full};
	bool needs_utf8 = false;
	size_t n = 0;

	m->mid.b[0] = 1;
	m->received_ms = 1699990000000;
	assert_int_equal(addr_parse(span_of(s->sender), ADDR_ALLOW_UTF8, &m->sender), ADDR_OK);
	m->envid = xstrdup(s->envid);
	m->subject = xstrdup("Lunch");
	m->message_id = xstrdup("<1@pc.here.example>");
	for (; n < MAX_RCPTS && s->rcpts[n].rcpt != NULL; n++) {
		struct rcpt *r = message_add_rcpt(m);

		assert_int_equal(
		    addr_parse(span_of(s->rcpts[n].rcpt), ADDR_ALLOW_UTF8, &r->addr), ADDR_OK);
		r->orcpt = xstrdup(s->rcpts[n].orcpt);
		r->attempts = 3;
		status_set(&st[n], s->rcpts[n].verdict, s->rcpts[n].code, s->rcpts[n].esc, "%s",
		    s->rcpts[n].text);
		st[n].origin = s->rcpts[n].code != 0 ? ORIGIN_REMOTE : ORIGIN_LOCAL;
		st[n].remote = xstrdup(s->rcpts[n].remote);
		st[n].remote_ip = xstrdup(s->rcpts[n].ip);
		st[n].diagnosis = xstrdup(s->rcpts[n].diagnosis);
	}
	for (size_t i = 0; i < n; i++)
		d[i] = (struct dsn_rcpt){.rcpt = &m->rcpts[i],
		    .action = s->rcpts[i].action,
		    .status = &st[i],
		    .qid = 77 + i,
		    .last_attempt_ms = 1699999000000,
		    .will_retry_until_ms = 1700300000000};
	dsn_report_build(out, m, d, n, &o, &needs_utf8);
	for (size_t i = 0; i < n; i++)
		status_clear(&st[i]);
	message_free(m);
	return needs_utf8;
}

static void
assert_has(struct buf *b, const char *text)
{
	if (strstr(buf_cstr(b), text) == NULL)
		fail_msg("lacks \"%s\" in\n%s", text, buf_cstr(b));
}

static void
assert_lacks(struct buf *b, const char *text)
{
	if (strstr(buf_cstr(b), text) != NULL)
		fail_msg("has \"%s\" in\n%s", text, buf_cstr(b));
}

/* Clean CRLF lines, and the boundary exactly where parts begin and end. */
static void
test_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		struct buf out = BUF_INIT;
		char line[80];
		const char *p, *e, *b;
		unsigned boundaries = 0;

		(void)build(&samples[i], &out);
		b = strstr(buf_cstr(&out), "boundary=\"") + 10;
		assert_int_equal(str_copy_span(line, sizeof(line),
				     (struct span){b, (size_t)(strchr(b, '"') - b)}),
		    0);
		for (p = buf_cstr(&out); (e = strchr(p, '\n')) != NULL; p = e + 1) {
			assert_true(e > p && e[-1] == '\r' && e - p < 998);
			assert_null(memchr(p, '\r', (size_t)(e - p) - 1));
			if (strncmp(p, "--", 2) == 0 && strncmp(p + 2, line, strlen(line)) == 0)
				boundaries++;
		}
		assert_string_equal(p, "");
		assert_int_equal(boundaries, 4);
		buf_clear(&out);
	}
}

static void
test_fields(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_false(build(sample_find("unknown"), &out));
	assert_has(&out, "From: Mail Delivery System <postmaster@here.example>\r\n");
	assert_has(&out, "To: <me@here.example>\r\n");
	assert_has(&out, "Subject: Undelivered mail returned to sender\r\n");
	assert_has(&out, "Auto-Submitted: auto-replied\r\n");
	assert_has(&out, "Message-ID: <02000000-0000-0000-0000-000000000000@mx.here.example>\r\n");
	assert_has(&out, "References: <1@pc.here.example>\r\n");
	assert_has(&out, "multipart/report; report-type=delivery-status;\r\n");
	assert_has(&out, "Reporting-MTA: dns; mx.here.example\r\n");
	assert_has(&out, "Original-Envelope-Id: abc+def\r\n");
	assert_has(&out, "Arrival-Date: Tue, 14 Nov 2023 19:26:40 +0000\r\n");
	assert_has(&out, "Original-Recipient: rfc822; bob+x@alias.example\r\n");
	assert_has(&out, "Final-Recipient: rfc822; bob@there.example\r\n");
	assert_has(&out, "Action: failed\r\nStatus: 5.1.1\r\n");
	assert_has(&out, "Remote-MTA: dns; mx.there.example\r\n");
	assert_has(&out, "Diagnostic-Code: smtp; 550 5.1.1 <bob@there.example>:");
	assert_has(&out, "Last-Attempt-Date: Tue, 14 Nov 2023 21:56:40 +0000\r\n");
	assert_has(&out, "X-submitd-Queue-ID: 77\r\n");
	assert_has(&out, "Content-Type: text/rfc822-headers\r\n");
	assert_has(&out, "What happened: The recipient's server does not know this address.");
	assert_has(&out, "What was tried: 3 attempts, the last one on");
	assert_has(&out, "550 5.1.1 <bob@there.example>: Recipient address rejected");
	assert_has(&out, "What to do: Check the address");
	assert_lacks(&out, "Will-Retry-Until");
	buf_reset(&out);
	(void)build(sample_find("delayed"), &out);
	assert_has(&out, "Subject: Delayed mail, still being tried\r\n");
	assert_has(&out, "Action: delayed\r\nStatus: 4.4.1\r\n");
	assert_has(&out, "Will-Retry-Until: Sat, 18 Nov 2023 09:33:20 +0000\r\n");
	assert_has(&out, "Diagnostic-Code: x-submitd; Connection timed out\r\n");
	assert_has(&out, "you need not send it again");
	buf_reset(&out);
	(void)build(sample_find("success"), &out);
	assert_has(&out, "Subject: Successful mail delivery report\r\n");
	assert_has(&out, "Action: relayed\r\nStatus: 2.0.0\r\n");
	assert_has(&out, "Action: delivered\r\nStatus: 2.1.5\r\n");
	buf_reset(&out);
	(void)build(sample_find("full"), &out);
	assert_has(&out, "Content-Type: message/rfc822\r\n");
	assert_has(&out, "Diagnostic-Code: smtp; 552 5.2.2 Mailbox is full\r\n");
	assert_has(&out, "\r\n\r\nbody\r\n.\r\n\r\n--");
	buf_reset(&out);
	(void)build(sample_find("domain"), &out);
	assert_has(&out, "What happened: The domain nowhere.example does not exist.");
	buf_clear(&out);
}

/* RFC 6533: UTF-8 fields only for a sender who needs them, else the ASCII form. */
static void
test_utf8(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_true(build(sample_find("utf8"), &out));
	assert_has(&out, "To: <j" UE "rg@here.example>\r\n");
	assert_has(&out, "report-type=global-delivery-status;");
	assert_has(&out, "Content-Type: message/global-delivery-status\r\n");
	assert_has(&out, "Content-Type: message/global\r\n");
	assert_has(&out, "Original-Recipient: utf-8; j" UE "rg@x.example\r\n");
	assert_has(&out, "Final-Recipient: utf-8; j" UE "rg@b" UE "cher.example\r\n");
	assert_has(&out, "Diagnostic-Code: smtp; 550 5.1.1 kein J" UE "rg hier\r\n");
	assert_has(&out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_reset(&out);
	assert_false(build(sample_find("several"), &out));
	assert_true(str_is_ascii(buf_span(&out)));
	assert_has(&out, "Content-Type: message/delivery-status\r\n");
	assert_has(&out, "Final-Recipient: utf-8; j\\x{FC}rg@b\\x{FC}cher.example\r\n");
	assert_has(&out, "Original-Recipient: utf-8; j\\x{FC}rg@x.example\r\n");
	assert_has(&out, "Diagnostic-Code: smtp; 550 kein J??rg hier\r\n");
	assert_has(&out, "Content-Transfer-Encoding: quoted-printable\r\n");
	assert_has(&out, "<j=C3=BCrg@b=C3=BCcher.example>\r\n");
	buf_clear(&out);
}

/* A remote server's text and name break neither the fields nor the parts. */
static void
test_hostile(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	(void)build(sample_find("hostile"), &out);
	assert_has(&out, "boundary=\"=_02000000-0000-0000-0000-000000000000.2\"");
	assert_lacks(&out, "\nAction: delivered");
	buf_clear(&out);
}

static int
print(const char *name)
{
	const struct sample *s = sample_find(name);
	struct buf out = BUF_INIT;

	if (s == NULL)
		return 2;
	(void)build(s, &out);
	for (size_t i = 0; i < buf_len(&out); i++)
		if (buf_data(&out)[i] != '\r')
			putchar(buf_data(&out)[i]);
	buf_clear(&out);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_form),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_hostile),
	};

	setenv("TZ", "UTC0", 1);
	tzset();
	if (argc == 3 && strcmp(argv[1], "--print") == 0)
		return print(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
