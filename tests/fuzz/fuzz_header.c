/* SPDX-License-Identifier: ISC */
/* Header blocks: scan, fix-ups, texts for people, Received with a hostile HELO, and reports. */
#include "base/str.h"
#include "mail/dotstuff.h"
#include "mail/dsn_report.h"
#include "mail/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define CHECK(expr)                                                                                \
	do {                                                                                       \
		if (!(expr)) {                                                                     \
			(void)fprintf(stderr, "%d: %s\n", __LINE__, #expr);                        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void
check_fixes(struct span block)
{
	struct uuid mid = {{1}};
	struct header_fix fix = {true, true, true, 1700000000000, "mx.example", &mid, "q.example"};
	struct header_info h, after;
	struct buf out = BUF_INIT;

	header_scan(block, &h);
	CHECK(h.valid_bytes <= block.n && h.n_from <= HEADER_MAX_FROM);
	header_copy_fixed(&out, block, &h, &fix);
	header_scan(buf_span(&out), &after);
	CHECK(!after.malformed && !after.has_bcc && after.has_date && after.has_message_id);
	CHECK(after.received == h.received && after.has_from == h.has_from);
	CHECK(h.from_unparsable || (!after.from_unparsable && after.n_from == h.n_from));
	buf_clear(&out);
}

static void
check_text(struct span raw)
{
	struct buf out = BUF_INIT;

	header_decode_text(raw, 100, &out);
	CHECK(buf_len(&out) <= 100);
	CHECK(utf8_valid(buf_span(&out)) && !str_has_control(buf_span(&out)));
	buf_clear(&out);
}

static void
check_lines(struct buf *out, bool trace)
{
	const char *p = buf_cstr(out), *lf;

	CHECK(strlen(p) == buf_len(out));
	for (; (lf = strchr(p, '\n')) != NULL; p = lf + 1) {
		CHECK(lf > p && lf[-1] == '\r' && lf - p < 999);
		CHECK(memchr(p, '\r', (size_t)(lf - p) - 1) == NULL);
		if (trace)
			CHECK(lf[1] == '\t' || lf[1] == '\0');
	}
	CHECK(*p == '\0');
}

static void
check_received(const char *text)
{
	struct net_addr client = {.family = 4, .ip = {192, 0, 2, 1}};
	struct header_received r = {.helo = text,
	    .client = &client,
	    .hostname = "mx.example",
	    .esmtp = true,
	    .tls = true,
	    .tls_version = text,
	    .tls_cipher = text,
	    .rcpt = text,
	    .utf8 = text[0] == 'u'};
	struct buf out = BUF_INIT;

	header_add_received(&out, &r);
	check_lines(&out, true);
	buf_clear(&out);
}

static void
check_report(const char *text, struct span block)
{
	struct message *m = message_new();
	struct status st = {0};
	struct dsn_rcpt d = {.action = DSN_FAILED, .status = &st, .qid = 1, .last_attempt_ms = 1};
	struct dsn_options o = {.hostname = "mx.example",
	    .postmaster = "pm@mx.example",
	    .original = span_of("X: y\r\n")};
	struct buf out = BUF_INIT;
	char line[80];
	const char *b, *p;
	unsigned found = 0;
	bool utf8;

	(void)block;
	status_set(&st, V_PERM, 550, "5.1.1", "%s", text);
	st.origin = ORIGIN_REMOTE;
	st.remote = xstrdup(text);
	st.diagnosis = xstrdup(text);
	m->subject = xstrdup(text);
	m->envid = xstrdup(text);
	m->message_id = xstrdup(text);
	d.rcpt = message_add_rcpt(m);
	dsn_report_build(&out, m, &d, 1, &o, &utf8);
	check_lines(&out, false);
	b = strstr(buf_cstr(&out), "boundary=\"") + 10;
	CHECK(str_copy_span(line, sizeof(line), (struct span){b, strcspn(b, "\"")}) == 0);
	for (p = b + strlen(line); (p = strstr(p, line)) != NULL; p += strlen(line)) {
		CHECK(strncmp(p - 4, "\r\n--", 4) == 0);
		found++;
	}
	CHECK(found == 4);
	status_clear(&st);
	message_free(m);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span raw = {(const char *)data, size};
	struct buf clean = BUF_INIT;
	struct header_info h;
	struct dot_decoder d;
	char *text;

	header_scan(raw, &h);
	check_text(raw);
	/* the front only gives clean lines */
	dot_decoder_init(&d, DOT_BDAT | DOT_ALLOW_BARE_LF | DOT_ALLOW_NUL | DOT_ALLOW_LONG, 998);
	(void)dot_decode(&d, data, size, &clean);
	dot_decode_finish(&d, &clean);
	if (d.error == DOT_OK) {
		check_fixes(buf_span(&clean));
		check_text(header_find(buf_span(&clean), "subject"));
	}
	text = xstrndup(raw.p, strnlen(raw.p, size));
	check_received(text);
	check_report(text, buf_span(&clean));
	free(text);
	buf_clear(&clean);
	return 0;
}
