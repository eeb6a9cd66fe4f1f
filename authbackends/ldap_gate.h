/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_GATE_H
#define SUBMITD_LDAP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LDAP_MESSAGE_MAX (256u << 10) /* octets of one message, behind its length */
#define LDAP_MESSAGES_MAX 1000u       /* answering one request; a search asks for two entries */
#define LDAP_DEPTH_MAX 8u             /* elements in each other; an entry's values are in five */

/* The kind of request whose answer is awaited. */
enum ldap_awaited {
	LDAP_AWAIT_NOTHING = 0,
	LDAP_AWAIT_BIND = 1,
	LDAP_AWAIT_SEARCH = 2,
	LDAP_AWAIT_EXTENDED = 3,
	LDAP_AWAIT__MAX
};

/* What the next element is, and what of it the next octet. */
enum ldap_gate_step {
	LDAP_GATE_MESSAGE = 0,
	LDAP_GATE_ID = 1,
	LDAP_GATE_OPERATION = 2,
	LDAP_GATE_CODE = 3,
	LDAP_GATE_REST = 4, /* any, as long as it fits */
};
enum ldap_gate_part {
	LDAP_GATE_TAG = 0,
	LDAP_GATE_LENGTH = 1,
	LDAP_GATE_LENGTH_MORE = 2,
	LDAP_GATE_NUMBER = 3,
	LDAP_GATE_VALUE = 4, /* not looked at */
};

/*
 * Looks at the octets of a server on their way to libldap (RFC 4511, 4.1.1 and 5.1), which
 * is built with assertions that would end the process, and takes what it cannot read for
 * absent. Zeroed: open, and nothing is awaited.
 */
struct ldap_gate {
	const char *refused; /* why nothing passes any more: static words; NULL: it is open */
	bool over;           /* refused, as the server gave notice that it ends the connection */

	enum ldap_awaited awaited;
	uint32_t id;       /* of the request */
	unsigned messages; /* that may still come */

	enum ldap_gate_step step;
	enum ldap_gate_part part;
	bool last;      /* no message may follow this one */
	unsigned least; /* octets of its operation */
	uint8_t tag;    /* of the element */
	uint32_t value; /* its length, or its number, as far as they have come */
	uint32_t more;  /* octets of these, or of its value, still to come */
	unsigned width; /* octets of its number */

	unsigned depth;                /* elements around the next one */
	uint32_t left[LDAP_DEPTH_MAX]; /* octets of each that no element has taken yet */
};

/* A request was sent with that number, > 0. Its answer, and nothing else, may pass. */
void ldap_gate_expect(struct ldap_gate *, enum ldap_awaited, int id);
/* 0: pass on all of them. -1 with `refused`: none of them, nor what follows. */
int ldap_gate_pass(struct ldap_gate *, const void *p, size_t n);

#endif
