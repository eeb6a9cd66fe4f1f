/* SPDX-License-Identifier: ISC */
/*
 * What users and operators put into URIs, filters and names to bind with: an escaped
 * value never changes what a filter or a DN means, as libldap itself reads it. The
 * input is a template, a NUL, a login.
 */
#include "authbackends/ldap_judge.h"
#include "base/ldap_text.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include <ldap.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The value is the only part of the only RDN, octet for octet. */
static void
check_dn(struct span value)
{
	struct buf b = BUF_INIT;
	LDAPDN dn = NULL;

	if (value.n == 0)
		return;
	buf_add_str(&b, "uid=");
	ldap_dn_escape(&b, value);
	if (ldap_str2dn(buf_cstr(&b), &dn, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS) {
		if (memchr(value.p, '\0', value.n) == NULL && utf8_valid(value))
			abort();
	} else if (dn[0] == NULL || dn[1] != NULL || dn[0][1] != NULL ||
		   dn[0][0]->la_value.bv_len != value.n ||
		   memcmp(dn[0][0]->la_value.bv_val, value.p, value.n) != 0) {
		abort();
	}
	ldap_dnfree(dn);
	buf_clear(&b);
}

/* Parentheses, stars and backslashes of the value are gone. */
static void
check_filter(struct span value)
{
	struct buf b = BUF_INIT;
	struct span s;
	size_t i;

	ldap_filter_escape(&b, value);
	s = buf_span(&b);
	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 2 < s.n)
			i += 2;
		else if (strchr("*()\\", s.p[i]) != NULL || (unsigned char)s.p[i] < ' ' ||
			 (unsigned char)s.p[i] > 0x7e)
			abort();
	}
	buf_clear(&b);
}

/* A filter that was found good stays good with any login in it. */
static void
check_templates(const char *text, const char *login)
{
	char out[LDAP_FILTER_MAX];
	struct buf b = BUF_INIT;
	struct ldap_uri u;

	if (ldap_uri_parse(text, &u) == NULL && (u.host[0] == '\0' || u.port == 0))
		abort();
	if (ldap_filter_check(text) == NULL &&
	    ldap_filter_make(text, span_of(login), out, sizeof(out)) == 0) {
		/* put a hole behind it, so that only the syntax is judged */
		buf_addf(&b, "(&%s(x=%%s))", out);
		for (const char *p = out; *p != '\0'; p++)
			if (*p == '%')
				buf_reset(&b);
		if (buf_len(&b) > 0 && ldap_filter_check(buf_cstr(&b)) != NULL &&
		    strstr(ldap_filter_check(buf_cstr(&b)), "deeply") == NULL)
			abort();
	}
	if (ldap_bind_as_check(text) == NULL &&
	    ldap_bind_as_make(text, login, "", out, LDAP_BIND_NAME_MAX) == 0 &&
	    (out[0] == '\0' || str_has_control(span_of(out))))
		abort();
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = xstrndup((const char *)data, n), *login;
	struct span value = {(const char *)data, n};
	size_t used = strlen(text);

	login = xstrndup((const char *)data + used, n - used);
	if (used < n) {
		free(login);
		login = xstrndup((const char *)data + used + 1, n - used - 1);
	}
	check_templates(text, login);
	check_filter(value);
	check_dn(value);
	(void)ldap_judge_ad_code(text);
	free(text);
	free(login);
	return 0;
}
