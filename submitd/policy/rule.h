/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_RULE_H
#define SUBMITD_POLICY_RULE_H

#include "mail/pattern.h"
#include "policy/policy.h"

/* What the files of the single rules share; nobody else includes this. */

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

/* An address in a list of patterns; an internationalised domain may stand there in either form. */
enum pattern_result policy_list_match_addr(const struct pattern_list *, const struct addr *);
/*
 * A filter of names on the name given to AUTH: V_OK it may log in, V_NEXT the mode is off.
 * whose: "ou staff" and the like, for the note.
 */
enum verdict policy_name_filter(const struct conf *, const struct facts *, struct policy_result *,
    int mode, const struct pattern_list *, const char *whose);
/* 535 in the words of a wrong password (P3). */
enum verdict policy_refuse_login(struct policy_result *);

#endif
