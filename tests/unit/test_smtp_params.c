/* SPDX-License-Identifier: ISC */
/* P4, D1: parameters of MAIL and RCPT, xtext and ORCPT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/smtp_params.h"

#define UE "\xc3\xbc"
#define X100                                                                                       \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                                       \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
	const char *in;
	unsigned code; /* 0: fine */
} mails[] = {
    {"", 0},
    {" ", 0},
    {" SIZE=1", 0},
    {"  SIZE=1  BODY=7BIT ", 0},
    {" size=0 body=8bitmime smtputf8 ret=full envid=x auth=<>", 0},
    {" SIZE=99999999999999999999", 0},
    {"SIZE=1", 501},
    {" SIZE", 501},
    {" SIZE=", 501},
    {" SIZE=1k", 501},
    {" SIZE=-1", 501},
    {" SIZE=123456789012345678901", 501},
    {" SIZE=1 SIZE=1", 501},
    {" SIZE=1 size=2", 501},
    {" BODY=9BIT", 501},
    {" BODY=BINARYMIME", 555},
    {" SMTPUTF8=1", 501},
    {" SMTPUTF8=", 501},
    {" RET=ALL", 501},
    {" ENVID=", 501},
    {" ENVID=a+2Bb", 0},
    {" ENVID=a+2", 501},
    {" ENVID=a=b", 501},
    {" ENVID=a+0D", 501},
    {" ENVID=" X100, 0},
    {" ENVID=" X100 "x", 501},
    {" AUTH=a+40b.example", 0},
    {" AUTH=a@b.example", 0},
    {" AUTH=", 501},
    {" AUTH=joe", 501},
    {" AUTH=a@b+0D+0AX", 501},
    {" NOTIFY=NEVER", 555},
    {" XFOO", 555},
    {" XFOO=bar", 555},
    {" =x", 501},
    {" -X=x", 501},
    {" A\tB=1", 501},
    {" \xff=1", 501},
};

static void
test_mail(void **state)
{
	struct smtp_mail_params p;
	struct smtp_params_error e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mails); i++) {
		int rc;

		memset(&e, 0, sizeof(e));
		rc = smtp_params_mail(span_of(mails[i].in), &p, &e);
		if ((rc == 0) != (mails[i].code == 0) ||
		    e.code != (rc == 0 ? e.code : mails[i].code))
			fail_msg("\"%s\": %d, %u %s", mails[i].in, rc, e.code, e.text);
		if (rc == -1) {
			assert_string_equal(e.esc, "5.5.4");
			assert_true(e.text[0] != '\0');
			assert_false(str_has_control(span_of(e.text)));
			assert_true(str_is_ascii(span_of(e.text)));
		}
	}
	assert_int_equal(smtp_params_mail(span_of(" SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS "
						  "ENVID=a+2Bb AUTH=J+2Bx@B.example"),
			     &p, &e),
	    0);
	assert_true(p.has_size && p.size == 77 && p.body_8bit && p.smtputf8 && !p.body_binary);
	assert_int_equal(p.ret, RET_HDRS);
	assert_string_equal(p.envid, "a+2Bb");
	assert_string_equal(p.auth, "J+x@b.example");
	assert_int_equal(smtp_params_mail(span_of(" SIZE=99999999999999999999"), &p, &e), 0);
	assert_true(p.size == UINT64_MAX);
	assert_int_equal(smtp_params_mail(span_of(" AUTH=<>"), &p, &e), 0);
	assert_string_equal(p.auth, "<>");
}

static const struct {
	const char *in;
	unsigned code;
	unsigned notify;
} rcpts[] = {
    {"", 0, 0},
    {" NOTIFY=NEVER", 0, NOTIFY_NEVER},
    {" notify=success,Failure,DELAY", 0, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY},
    {" NOTIFY=NEVER,DELAY", 501, 0},
    {" NOTIFY=DELAY,DELAY", 501, 0},
    {" NOTIFY=", 501, 0},
    {" NOTIFY=DELAY,", 501, 0},
    {" NOTIFY", 501, 0},
    {" NOTIFY=NEVER NOTIFY=NEVER", 501, 0},
    {" ORCPT=rfc822;a@b", 0, 0},
    {" ORCPT=RFC822;a+2Bc@b NOTIFY=DELAY", 0, NOTIFY_DELAY},
    {" ORCPT=x400;c+3Dde", 0, 0},
    {" ORCPT=utf-8;j\\x{FC}rg@x.example", 0, 0},
    {" ORCPT=utf-8;j" UE "rg@x.example", 0, 0},
    {" ORCPT=rfc822;j" UE "rg@x.example", 501, 0},
    {" ORCPT=utf-8;j\\x{D800}rg@x.example", 501, 0},
    {" ORCPT=utf-8;j\\x{110000}rg@x.example", 501, 0},
    {" ORCPT=utf-8;j\\x{0A}rg@x.example", 501, 0},
    {" ORCPT=utf-8;j\\xFC", 501, 0},
    {" ORCPT=utf-8;j\\x{", 501, 0},
    {" ORCPT=rfc822;", 501, 0},
    {" ORCPT=rfc822", 501, 0},
    {" ORCPT=;a", 501, 0},
    {" ORCPT=rfc822;a+0Ab", 501, 0},
    {" ORCPT=rfc822;a+00b", 501, 0},
    {" ORCPT=rfc822;a=b", 501, 0},
    {" SIZE=1", 555, 0},
    {" X", 555, 0},
};

static void
test_rcpt(void **state)
{
	struct smtp_rcpt_params p;
	struct smtp_params_error e;
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcpts); i++) {
		int rc;

		memset(&e, 0, sizeof(e));
		rc = smtp_params_rcpt(span_of(rcpts[i].in), &p, &e);
		if ((rc == 0) != (rcpts[i].code == 0) || (rc == -1 && e.code != rcpts[i].code))
			fail_msg("\"%s\": %d, %u %s", rcpts[i].in, rc, e.code, e.text);
		if (rc == 0)
			assert_int_equal(p.notify, rcpts[i].notify);
	}
	assert_int_equal(smtp_params_rcpt(span_of(" ORCPT=rfc822;a+2Bc@b"), &p, &e), 0);
	assert_string_equal(p.orcpt, "rfc822;a+2Bc@b");
	buf_add_str(&b, " ORCPT=rfc822;");
	for (int i = 0; i < 493; i++)
		buf_add_byte(&b, 'a');
	assert_int_equal(smtp_params_rcpt(buf_span(&b), &p, &e), 0);
	buf_add_byte(&b, 'a');
	assert_int_equal(smtp_params_rcpt(buf_span(&b), &p, &e), -1);
	buf_clear(&b);
}

static void
test_xtext(void **state)
{
	struct buf b = BUF_INIT, c = BUF_INIT;
	char all[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	xtext_encode((struct span){all, sizeof(all)}, &b);
	assert_true(str_is_ascii(buf_span(&b)) && !str_has_control(buf_span(&b)));
	buf_add_str(&c, "kept");
	assert_int_equal(xtext_decode(buf_span(&b), &c), 0);
	assert_int_equal(buf_len(&c), 260);
	assert_memory_equal(buf_data(&c) + 4, all, 256);
	assert_int_equal(xtext_decode(span_of("ab+4"), &c), -1);
	assert_int_equal(xtext_decode(span_of("a b"), &c), -1);
	assert_int_equal(buf_len(&c), 260);
	buf_reset(&c);
	assert_int_equal(orcpt_decode(span_of("utf-8;j\\x{FC}r\\x{1F600}g@x"), &c), 0);
	assert_string_equal(buf_cstr(&c), "utf-8;j" UE "r\xf0\x9f\x98\x80g@x");
	buf_reset(&c);
	assert_int_equal(orcpt_decode(span_of("rfc822;a+2Bb@x"), &c), 0);
	assert_string_equal(buf_cstr(&c), "rfc822;a+b@x");
	buf_clear(&b);
	buf_clear(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail),
	    cmocka_unit_test(test_rcpt),
	    cmocka_unit_test(test_xtext),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
