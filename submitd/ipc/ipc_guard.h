/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_IPC_IPC_GUARD_H
#define SUBMITD_IPC_IPC_GUARD_H

/* What the numbers in GUARD_RES and GUARD_NOTE mean (A7). */

enum guard_verdict {
	GUARD_GO = 0,     /* ask the backends, then send one GUARD_NOTE */
	GUARD_LOCKED = 1, /* ask nobody; nothing is owed */
	GUARD_BUSY = 2,   /* too many guesses of this kind are under way; nothing is owed */
	GUARD_VERDICT__MAX
};

enum guard_outcome {
	GUARD_NONE = 0,    /* nothing was found out: not counted */
	GUARD_SUCCESS = 1, /* it was the user */
	GUARD_FAILURE = 2, /* a wrong name or password */
	GUARD_RULE = 3,    /* refused by a rule of the policy: counts for the address only */
	GUARD_OUTCOME__MAX
};

/* Octets of a user's name in these messages: below CONF_USER_KEY. */
#define GUARD_USER_MAX 799u

#endif
