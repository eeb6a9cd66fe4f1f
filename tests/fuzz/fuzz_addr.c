/* SPDX-License-Identifier: ISC */
/* Addresses: what is accepted survives being written and read again, and holds no control byte. */
#include "base/str.h"
#include "mail/addr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(const struct addr *a)
{
	char text[ADDR_TEXT], ascii[ADDR_TEXT], domain[ADDR_DOMAIN_MAX + 1];
	struct buf b = BUF_INIT;
	struct addr again;
	struct rd r;

	addr_format(a, text);
	if (str_has_control(span_of(text)) || !utf8_valid(span_of(text)))
		abort();
	if (addr_parse(span_of(text), ADDR_ALLOW_UTF8 | ADDR_ALLOW_NULL, &again) != ADDR_OK ||
	    !addr_equal(a, &again) || strcmp(a->domain, again.domain) != 0 ||
	    a->utf8 != again.utf8 || addr_is_null(a) != (text[0] == '\0'))
		abort();
	if (a->ascii_domain[0] != '\0' && a->ascii_domain[0] != '[' &&
	    (addr_domain_ascii(span_of(a->ascii_domain), domain) == -1 ||
		strcmp(domain, a->ascii_domain) != 0))
		abort();
	if (addr_format_ascii(a, ascii) == 0 &&
	    (!str_is_ascii(span_of(ascii)) ||
		addr_parse(span_of(ascii), ADDR_ALLOW_NULL, &again) != ADDR_OK ||
		!addr_equal(a, &again)))
		abort();
	addr_encode(&b, a);
	rd_init(&r, buf_data(&b), buf_len(&b));
	if (addr_decode(&r, &again) == -1 || !rd_done(&r) || !addr_equal(a, &again))
		abort();
	buf_clear(&b);
	if (!addr_glob_match(a->domain[0] == '[' ? "*" : a->ascii_domain, ascii) &&
	    a->domain[0] != '\0' && addr_format_ascii(a, ascii) == 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = {(const char *)data + 1, size - 1}, rest;
	char domain[ADDR_DOMAIN_MAX + 1], *text;
	struct addr a;
	struct rd r;

	if (size == 0)
		return 0;
	if (addr_parse_path(s, data[0], &a, &rest) == ADDR_OK) {
		check(&a);
		if (rest.n > s.n || rest.p + rest.n != s.p + s.n)
			abort();
	}
	if (addr_parse(s, data[0], &a) == ADDR_OK)
		check(&a);
	if (addr_domain_ascii(s, domain) == 0 && !str_is_ascii(span_of(domain)))
		abort();
	rd_init(&r, s.p, s.n);
	(void)addr_decode(&r, &a);
	text = xstrndup(s.p, s.n);
	(void)addr_glob_match(text, "somebody@example.com");
	(void)addr_glob_match("*a?b*@*", text);
	free(text);
	return 0;
}
