/* SPDX-License-Identifier: ISC */
/*
 * What a client sends to AUTH, decoded: through the look before the SASL library, the
 * library, and the look at what came out. First byte: mechanism (bits 0, 1 and 3), and
 * whether the first response comes with the command (bit 2); responses are cut at 0xfe bytes.
 */
#include "authbackends/auth_sasl.h"
#include "authbackends/authbackend.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define KEYS                                                                                       \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" \
	":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(struct auth_sasl *x)
{
	const char *login = auth_sasl_login(x);
	const struct secret *p = auth_sasl_password(x);
	struct span name = span_of(login);

	if (auth_sasl_cred(x) == CRED_TOKEN) {
		/* nothing in a token that an HTTP header could be split with */
		if (p->len == 0 || p->len > AUTH_TOKEN_MAX || str_has_control(name) ||
		    !utf8_valid(name) || str_has_control((struct span){p->data, p->len}) ||
		    memchr(p->data, ' ', p->len) != NULL)
			abort();
		return;
	}
	/* what came through is clean, whatever was sent */
	if (name.n == 0 || name.n > AUTH_NAME_MAX || str_has_control(name) || !utf8_valid(name) ||
	    login[0] == ' ' || login[name.n - 1] == ' ')
		abort();
	if (p->len == 0 || p->len > AUTH_PASSWORD_MAX || memchr(p->data, '\0', p->len) != NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const mechs[] = {"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"};
	static bool open;
	char err[200];
	struct span rest, part;
	enum sasl_outcome o;
	struct auth_sasl *x;
	int rounds = 0;

	if (!open && auth_sasl_open("mail.example.com", err, sizeof(err)) == -1)
		abort();
	open = true;
	if (n < 1)
		return 0;
	rest = (struct span){(const char *)data + 1, n - 1};
	x = auth_sasl_new(MECHS_ALL);
	part = (data[0] & 4) != 0 ? span_cut(&rest, '\xfe') : (struct span){NULL, 0};
	if (part.p == NULL)
		part.p = "";
	o = auth_sasl_start(x, span_of((data[0] & 8) != 0 ? "SCRAM-SHA-256" : mechs[data[0] & 3]),
	    (data[0] & 4) != 0 ? &part : NULL);
	while ((o == SASL_OUT_CHALLENGE || o == SASL_OUT_NAME || o == SASL_OUT_PROOF) &&
	       rounds++ < 8) {
		if (o == SASL_OUT_PROOF) {
			o = auth_sasl_proof(x);
			continue;
		}
		if (o == SASL_OUT_NAME) {
			if (auth_sasl_login(x)[0] == '\0')
				abort();
			o = auth_sasl_keys(x, KEYS);
			continue;
		}
		part = span_cut(&rest, '\xfe');
		if (part.p == NULL)
			part.p = "";
		o = auth_sasl_step(x, part);
	}
	if (o == SASL_OUT_CHALLENGE) /* exchanges end */
		abort();
	if (o == SASL_OUT_PROVEN) /* nobody has the password of these keys */
		abort();
	if (o == SASL_OUT_CREDENTIALS)
		check(x);
	auth_sasl_free(x);
	return 0;
}
