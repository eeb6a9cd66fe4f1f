/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_PRECHECK_H
#define SUBMITD_SASL_PRECHECK_H

#include "base/buf.h"

#include <stdbool.h>

/*
 * What a client's decoded octets are held against before the SASL library sees
 * them (P3, LIBRARIES 13): the library cuts at NULs and strips white space.
 * Texts are for the log, static, and show nothing of what was sent.
 */
enum precheck {
	PRE_OK = 0,
	PRE_MALFORMED = 1, /* no message of that mechanism: 501 */
	PRE_REFUSED = 2,   /* well-formed, but no such name or password is taken: 535 */
};

struct sasl_plain {
	struct span authzid, authcid, password; /* into the message */
};

/* RFC 4616: [authzid] NUL authcid NUL password. */
enum precheck sasl_precheck_plain(struct span, struct sasl_plain *, const char **why);
enum precheck sasl_precheck_name(struct span, const char **why);
enum precheck sasl_precheck_password(struct span, const char **why);

#endif
