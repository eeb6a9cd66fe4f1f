/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_SCRAM_H
#define SUBMITD_AUTH_SCRAM_H

#include "authbackends/auth_flow.h"
#include "base/scram.h"

#include <stdbool.h>

/* SCRAM keys of a flow, and such as nobody can have (P3). In the loop; nothing waits. */

/* An entry of the cost that users of the flow have; "" when no backend of it holds keys now. */
const char *auth_scram_like(const struct auth_flow *);
/* The backend that has that entry finds users by aliases of their domain, too. */
bool auth_scram_by_alias(const struct auth_flow *);
/* Every backend that judges passwords there can hold keys. */
bool auth_scram_everywhere(const struct auth_flow *);

/*
 * Asks the chain for the keys of run->check's user: the first backend that knows him
 * tells, but none behind one that would decide about his password first (S17). V_OK:
 * check.hash has the entry; V_PERM: he has none, or nobody knows him, the reason says
 * why; V_TEMP: it cannot be known now. Fills source, user_known and the names of check
 * as auth_run_start() would.
 */
enum verdict auth_scram_find(struct auth_run *);

/* What came of it, for the counters of that backend. */
void auth_scram_count(const struct auth_run *, bool proven);

/*
 * Once, with the supervisor's rights: the key that fakes are made with is kept in a file
 * of the directory `state`, so that they stay the same over a restart. Where it cannot be
 * kept, one for this process is made.
 */
void auth_scram_init(const char *state);
/* Another key out of that one, for another purpose. */
void auth_scram_derive(const char *purpose, uint8_t out[32]);
/*
 * Keys that no password fits, the same ones for the same name, with the cost and the
 * length of salt that `like` has.
 */
void auth_scram_fake(const char *login, const char *like, char out[SCRAM_TEXT]);

#endif
