/* SPDX-License-Identifier: ISC */
/* ESMTP parameters: either read whole, or refused with one clean line. */
#include "base/str.h"
#include "mail/smtp_params.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(int rc, const struct smtp_params_error *e)
{
	struct span text = span_of(e->text);

	if (rc == -1 && ((e->code != 501 && e->code != 504 && e->code != 555) || text.n == 0 ||
			    str_has_control(text) || !str_is_ascii(text)))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = {(const char *)data, size};
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;
	struct smtp_params_error e;
	struct addr addr;

	memset(&e, 0, sizeof(e));
	check(smtp_params_mail(s, &mail, &e), &e);
	if (mail.auth[0] != '\0' &&
	    addr_parse(span_of(mail.auth), ADDR_ALLOW_UTF8 | ADDR_ALLOW_NULL, &addr) != ADDR_OK)
		abort();
	memset(&e, 0, sizeof(e));
	check(smtp_params_rcpt(s, &rcpt, &e), &e);
	if (rcpt.orcpt[0] != '\0') {
		if (orcpt_decode(span_of(rcpt.orcpt), &a) == -1 || str_has_control(buf_span(&a)) ||
		    !utf8_valid(buf_span(&a)))
			abort();
	}
	buf_reset(&a);
	(void)orcpt_decode(s, &a);
	buf_reset(&a);
	(void)xtext_decode(s, &a);
	buf_reset(&a);
	xtext_encode(s, &a);
	if (xtext_decode(buf_span(&a), &b) == -1 || buf_len(&b) != size ||
	    (size > 0 && memcmp(buf_data(&b), data, size) != 0))
		abort();
	buf_clear(&a);
	buf_clear(&b);
	return 0;
}
