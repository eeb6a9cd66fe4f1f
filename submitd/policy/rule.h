/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_RULE_H
#define SUBMITD_POLICY_RULE_H

#include "policy/policy.h"

/* What the files of the single rules share; nobody else includes this. */

/* A list of patterns: literal, * and ?, /regex/; "!" in front takes away, whatever its place. */
enum pattern_result {
	PATTERN_NO = 0,
	PATTERN_YES = 1,
	PATTERN_BAD = 2, /* a regex that cannot be used: unknown */
};

#define RULE(id, name, scope, stage, fn, help)                                                     \
	enum verdict fn(const struct conf *, const struct facts *, struct policy_result *);
#include "policy/rules.def"
#undef RULE

/* The verdict V_PERM with its reply; " (id)" of the rule is appended to the text. */
enum verdict policy_refuse(struct policy_result *, unsigned code, const char *esc, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* Could not be found out: V_TEMP with 451 4.3.0. */
enum verdict policy_unknown(struct policy_result *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* What was compared with what; does nothing unless notes are wanted. */
void policy_note(struct policy_result *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The line that decides: the option's, or its block's where the option is not written. */
void policy_at(struct policy_result *, const struct conf_where *options, unsigned option,
    const struct conf_where *block);
#define POLICY_AT(r, block, kind, option)                                                          \
	policy_at(r, (block)->option_where, CONF_OPT_##kind##_##option, &(block)->where)

/* An address for a reply: at most 100 octets, cut between characters. "<>" for the null sender. */
#define POLICY_SHOWN 112
const char *policy_show_addr(const struct addr *, char out[POLICY_SHOWN]);
const char *policy_show(const char *text, char out[POLICY_SHOWN]);

/* The address is the principal or one of its own (S11, C8: case does not matter). */
bool policy_is_own(const struct facts *, const struct addr *);
/* The user's smtp_auth = any_sender covers the address, inside what its OU has (S18). */
enum pattern_result policy_user_grants(
    const struct conf *, const struct policy_result *, const struct addr *);

/* Pattern lists. */
enum pattern_result policy_list_match(const struct conf_list *, const char *text);
enum pattern_result policy_list_match_addr(const struct conf_list *, const struct addr *);
/* NULL, or what is wrong with one pattern, in *err. */
const char *policy_pattern_check(const char *pattern, char *err, size_t errsize);

#endif
