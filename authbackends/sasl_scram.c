/* SPDX-License-Identifier: ISC */
/*
 * Looks at SCRAM messages before the SASL library does (RFC 5802): lengths, characters,
 * names and their escapes, order of attributes. Pure; process auth, in the loop. Proves
 * nothing: that is the library's part.
 */
#include "authbackends/sasl_scram.h"

#include "authbackends/sasl_gs2.h"
#include "base/enc.h"
#include "base/str.h"

#include <string.h>

/* printable = %x21-2B / %x2D-7E */
static bool
is_printable(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',')
			return false;
	return s.n > 0;
}

/* Cuts off "x=value,"; false when the next attribute is another. */
static bool
cut_attribute(struct span *rest, char name, struct span *value)
{
	struct span a;

	if (rest->p == NULL)
		return false;
	a = span_cut(rest, ',');
	if (a.n < 2 || a.p[0] != name || a.p[1] != '=')
		return false;
	*value = (struct span){a.p + 2, a.n - 2};
	return true;
}

/* Attributes that we do not know are for somebody else, but must be attributes. */
static bool
are_extensions(struct span rest)
{
	struct span a;

	while (rest.p != NULL) {
		a = span_cut(&rest, ',');
		if (a.n < 3 || a.p[1] != '=' || !((a.p[0] | 32) >= 'a' && (a.p[0] | 32) <= 'z') ||
		    str_has_control(a))
			return false;
	}
	return true;
}

enum precheck
sasl_scram_first(struct span s, struct sasl_scram *out, const char **why)
{
	struct span rest = s, name, nonce;
	struct sasl_gs2 gs2;
	enum precheck result;

	memset(out, 0, sizeof(*out));
	if (s.n > SASL_SCRAM_MESSAGE_MAX) {
		*why = "the message is too long";
		return PRE_MALFORMED;
	}
	if ((result = sasl_gs2_cut(&rest, &gs2, why)) != PRE_OK)
		return result;
	out->header = gs2.header;
	if (rest.n >= 2 && memcmp(rest.p, "m=", 2) == 0) { /* RFC 5802, 5.1: reserved */
		*why = "the client wants an extension that there is not";
		return PRE_REFUSED;
	}
	if (!cut_attribute(&rest, 'n', &name) || sasl_gs2_name(name, out->user) == -1 ||
	    !cut_attribute(&rest, 'r', &nonce) || !is_printable(nonce) || !are_extensions(rest)) {
		out->user[0] = '\0';
		*why = "the first message is malformed";
		return PRE_MALFORMED;
	}
	if ((result = sasl_precheck_name(span_of(out->user), why)) != PRE_OK) {
		out->user[0] = '\0'; /* not to be shown */
		return result;
	}
	if (gs2.authzid[0] == '\0')
		return PRE_OK;
	if (strcmp(gs2.authzid, out->user) != 0) {
		*why = "the authorization identity is not the name";
		return PRE_REFUSED;
	}
	memcpy(out->authzid, gs2.authzid, sizeof(out->authzid));
	return PRE_OK;
}

enum precheck
sasl_scram_final(struct span s, struct span header, struct span server_first, const char **why)
{
	struct span rest = s, binding, nonce, wanted;
	struct buf want = BUF_INIT;
	const char *proof = NULL;
	size_t i;
	bool good;

	*why = "the final message is malformed";
	if (s.n > SASL_SCRAM_MESSAGE_MAX || str_has_control(s))
		return PRE_MALFORMED;
	if (!cut_attribute(&rest, 'c', &binding) || !cut_attribute(&rest, 'r', &nonce) ||
	    !is_printable(nonce) || rest.p == NULL)
		return PRE_MALFORMED;
	for (i = s.n; i >= 3; i--) /* the proof is the last one */
		if (memcmp(s.p + i - 3, ",p=", 3) == 0) {
			proof = s.p + i;
			break;
		}
	if (proof == NULL || proof - 3 < rest.p - 1 ||
	    !is_printable((struct span){proof, (size_t)(s.p + s.n - proof)}) ||
	    (proof - 3 > rest.p &&
		!are_extensions((struct span){rest.p, (size_t)(proof - 3 - rest.p)})))
		return PRE_MALFORMED;
	base64_encode(&want, header.p, header.n);
	good = binding.n == buf_len(&want) && memcmp(binding.p, buf_data(&want), binding.n) == 0;
	buf_clear(&want);
	if (!good) {
		*why = "the final message repeats another header than the first one had";
		return PRE_REFUSED; /* RFC 5802, 6: as if somebody between had changed the first */
	}
	if (!cut_attribute(&server_first, 'r', &wanted) || nonce.n != wanted.n ||
	    memcmp(nonce.p, wanted.p, wanted.n) != 0) {
		*why = "the final message has another nonce";
		return PRE_REFUSED; /* RFC 5802, 5.1: a proof of some other exchange */
	}
	return PRE_OK;
}
