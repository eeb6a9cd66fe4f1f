/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_PATTERN_H
#define SUBMITD_MAIL_PATTERN_H

#include "base/net.h"

#include <stddef.h>

/*
 * Lists of patterns, compiled once and then only read (by any thread): literals, * and ?,
 * /regex/ (PCRE2, UTF-8, whatever the case), and for client addresses networks. "!" in front
 * takes away, whatever its place: denials beat allowances (S75).
 */
enum pattern_subject {
	PATTERN_OF_NAMES = 0,   /* mail addresses: addr_glob_match() says what a literal means */
	PATTERN_OF_CLIENTS = 1, /* IP addresses, as text where the pattern is no network */
};
enum pattern_result {
	PATTERN_NO = 0,
	PATTERN_YES = 1,
	PATTERN_BAD = 2, /* a regex that cannot be used or went beyond its limits: unknown */
};
#define PATTERN_REGEX_MAX 500   /* octets of one regex, without its slashes */
#define PATTERN_REGEXES_MAX 100 /* of one list: bounds what one match may cost */
/* Of one regex on one text: pcre2_set_match_limit() and so on; the last in KiB. */
#define PATTERN_MATCH_LIMIT 20000
#define PATTERN_DEPTH_LIMIT 5000
#define PATTERN_HEAP_LIMIT 2048

struct pattern_list;
/* Tells of one entry that cannot be used; both texts are borrowed. */
typedef void pattern_error_fn(void *arg, const char *pattern, const char *why);
/* Never NULL. Whoever comes upon an entry that cannot be used gets PATTERN_BAD. fn may be NULL. */
struct pattern_list *pattern_list_new(
    enum pattern_subject, char *const *v, size_t n, pattern_error_fn *fn, void *arg);
void pattern_list_free(struct pattern_list *); /* NULL is fine */

/* An empty list, NULL too, matches nothing. other: a second spelling, or NULL. */
enum pattern_result pattern_list_match(
    const struct pattern_list *, const char *text, const char *other);
enum pattern_result pattern_list_match_client(const struct pattern_list *, const struct net_addr *);

#endif
