/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_EXPLAIN_H
#define SUBMITD_POLICY_EXPLAIN_H

#include "conf/conf.h"

#include <jansson.h>

/*
 * What would happen to this client and message (C1)? Asks policy_decide() stage by
 * stage, as front does, and gives one JSON object per rule met and one at the end.
 * Texts are borrowed; NULL is "not given".
 */
struct explain_request {
	const char *listener; /* may be NULL where there is only one */
	const char *ip;
	const char *auth; /* AUTH name; the password is taken to be right */
	const char *own;  /* comma separated: what its backend would say it may send as, too */
	const char *helo;
	const char *tls; /* "TLSv1.3"; NULL: as the listener offers */
	bool no_tls;
	const char *from; /* "" or "<>": the null sender */
	const char *rcpt;
	const char *header_from; /* comma separated; NULL: as from */
	uint64_t size;           /* 0: not given */
};

/* Members of {"cmd":"explain",…}; the texts live as long as the object. -1 with a text for the
 * person. */
int explain_request_from_json(const json_t *, struct explain_request *, char *err, size_t errsize);

/* 0: accepted, 1: refused; -1: the question cannot be asked, err says why. row gets one line of
 * JSON. */
typedef void explain_row_fn(void *arg, const char *json);
int explain_run(const struct conf *, const struct explain_request *, explain_row_fn *row, void *arg,
    char *err, size_t errsize);

#endif
