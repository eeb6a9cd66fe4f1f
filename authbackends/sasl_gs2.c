/* SPDX-License-Identifier: ISC */
/*
 * The GS2 header of OAUTHBEARER and SCRAM messages, and the names in it. Pure;
 * process auth. Must never pass on a NUL or half an escape.
 */
#include "authbackends/sasl_gs2.h"

#include "base/str.h"

#include <string.h>

int
sasl_gs2_name(struct span s, char out[AUTH_NAME_MAX + 1])
{
	size_t i, n = 0;

	out[0] = '\0';
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (n == AUTH_NAME_MAX || c == '\0' || c == ',')
			return -1;
		if (c == '=') {
			if (s.n - i < 3 || s.p[i + 1] != (s.p[i + 2] == 'C' ? '2' : '3') ||
			    (s.p[i + 2] != 'C' && s.p[i + 2] != 'D'))
				return -1;
			c = s.p[i + 2] == 'C' ? ',' : '=';
			i += 2;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

enum precheck
sasl_gs2_cut(struct span *rest, struct sasl_gs2 *g, const char **why)
{
	const char *begin = rest->p;
	struct span flag, authzid;

	memset(g, 0, sizeof(*g));
	*why = "the message has no GS2 header";
	flag = span_cut(rest, ',');
	if (rest->p == NULL)
		return PRE_MALFORMED;
	authzid = span_cut(rest, ',');
	if (rest->p == NULL)
		return PRE_MALFORMED;
	if (flag.n >= 3 && memcmp(flag.p, "p=", 2) == 0) {
		*why = "the client wants channel binding, which is not offered";
		return PRE_REFUSED;
	}
	*why = "the GS2 header is malformed";
	if (flag.n != 1 || (flag.p[0] != 'n' && flag.p[0] != 'y'))
		return PRE_MALFORMED;
	g->flag = flag.p[0];
	g->header = (struct span){begin, (size_t)(rest->p - begin)};
	if (authzid.n == 0)
		return PRE_OK;
	if (authzid.n < 3 || memcmp(authzid.p, "a=", 2) != 0 ||
	    sasl_gs2_name((struct span){authzid.p + 2, authzid.n - 2}, g->authzid) == -1)
		return PRE_MALFORMED;
	return PRE_OK;
}
