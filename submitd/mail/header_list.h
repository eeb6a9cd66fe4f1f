/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_HEADER_LIST_H
#define SUBMITD_MAIL_HEADER_LIST_H

#include "mail/addr.h"

/*
 * The addresses of one From, To ... field (RFC 5322, 3.4 with its obsolete forms),
 * in the order of the text. Display names, comments, groups and routes are skipped.
 */
struct header_list {
	struct span s; /* the raw value, folded as it came */
	size_t at;
};

enum header_list_item {
	HEADER_LIST_END = 0,
	HEADER_LIST_ADDR = 1,
	HEADER_LIST_UNQUALIFIED =
	    2,               /* out->local only; s.p + *local_end is where "@domain" would go */
	HEADER_LIST_BAD = 3, /* not readable from here on: stop */
};

void header_list_init(struct header_list *, struct span value);
enum header_list_item header_list_next(struct header_list *, struct addr *out, size_t *local_end);

#endif
