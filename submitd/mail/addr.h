/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_ADDR_H
#define SUBMITD_MAIL_ADDR_H

#include "base/buf.h"

#include <stdbool.h>

/* RFC 5321, 4.5.3.1: limits in octets. */
#define ADDR_LOCAL_MAX 64
#define ADDR_DOMAIN_MAX 255
#define ADDR_MAX (ADDR_LOCAL_MAX + 1 + ADDR_DOMAIN_MAX)

/*
 * A mailbox address. local is kept as given but unquoted where quotes are not
 * needed; domain is lower case, and an internationalised one is kept as U-labels
 * as given, its A-label form in ascii_domain.
 * The null sender has both empty. Values, no ownership.
 */
struct addr {
	char local[ADDR_LOCAL_MAX + 1];
	char domain[ADDR_DOMAIN_MAX + 1]; /* as to be shown; an address literal keeps its [] */
	char ascii_domain[ADDR_DOMAIN_MAX +
			  1]; /* for look-ups and comparing; empty where not convertible */
	bool utf8;            /* local part or domain needs SMTPUTF8 */
};

enum addr_error {
	ADDR_OK = 0,
	ADDR_SYNTAX = 1,
	ADDR_TOO_LONG = 2,
	ADDR_UTF8 = 3,      /* non-ASCII without SMTPUTF8 */
	ADDR_NO_DOMAIN = 4, /* unqualified; local is filled */
	ADDR_BAD_DOMAIN = 5,
	ADDR__MAX
};
const char *addr_error_text(
    enum addr_error); /* for people: "unbalanced quotes in …" style, short */

/* flags */
#define ADDR_ALLOW_UTF8 1u
#define ADDR_ALLOW_NULL 2u /* "<>" */
#define ADDR_ALLOW_UNQUALIFIED                                                                     \
	4u                  /* "<Postmaster>", or a name to be completed: ADDR_NO_DOMAIN tells */
#define ADDR_ALLOW_SPACE 8u /* "FROM: <a@b>" (quirk addr_space), handled by the caller's parser */

/*
 * A path as in MAIL and RCPT: "<a@b>", "<@route:a@b>" (route dropped), at the start
 * of s; *rest is what follows it. On an error *out may be partly filled.
 */
enum addr_error addr_parse_path(struct span s, unsigned flags, struct addr *out, struct span *rest);
/* A bare address "a@b", whole. */
enum addr_error addr_parse(struct span s, unsigned flags, struct addr *out);
/* Takes the domain (bare, as in configuration): lower case, IDN to A-labels. -1: not a domain. */
int addr_domain_ascii(struct span domain, char out[ADDR_DOMAIN_MAX + 1]);
bool addr_is_null(const struct addr *);
/* Local parts by ASCII case, domains by their ASCII form (S11: case-insensitive). */
bool addr_equal(const struct addr *, const struct addr *);
/* Without angle brackets, local part quoted where needed; the null sender is "". */
#define ADDR_TEXT (ADDR_MAX * 2 + 4)
void addr_format(const struct addr *, char out[ADDR_TEXT]);
/* The same with the A-label domain, for next hops without SMTPUTF8; -1 when local is not ASCII. */
int addr_format_ascii(const struct addr *, char out[ADDR_TEXT]);

/*
 * The form in which names are compared: an address with the letters of its local part in one case
 * and one form of Unicode (nameprep, but ß and what looks like @, * and ? stay), its domain in
 * ASCII lower case; a text without @ like a local part. -1: no UTF-8, or too long.
 */
#define ADDR_FOLDED (ADDR_TEXT * 4)
int addr_fold(struct span name, char *out, size_t size);
/*
 * What a name in a file of users is found by: addr_fold(), and the domain in A-labels. Gives out,
 * or the name itself where it cannot be folded.
 */
struct span addr_user_key(struct span name, char out[ADDR_FOLDED]);
bool addr_user_same(struct span a, struct span b);
/*
 * Pattern of a list, ASCII case-insensitive (see addr_fold()), with * and ?. One without @, or with
 * nothing before it, is compared with the domain of the text, any other with all of it.
 */
bool addr_glob_match(const char *pattern, const char *text);

/* For records and IPC. -1 on rubbish (r->bad is set, *out untouched). */
void addr_encode(struct buf *, const struct addr *);
int addr_decode(struct rd *, struct addr *out);

#endif
