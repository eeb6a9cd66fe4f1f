/* SPDX-License-Identifier: ISC */
/*
 * What a directory may say to libldap: whole messages that answer the request just made,
 * of elements that fill each other. A streaming reader, because libldap reads in pieces.
 * Process auth (and lookup), on workers. Must never let an octet pass that reaches an
 * assertion of libldap: the number 0, an operation that is longer than its message.
 */
#include "authbackends/ldap_gate.h"

#include "base/list.h"

#include <ldap.h>

/* The answers that libldap is given, and the octets that each must have at least. */
static const struct answer {
	enum ldap_awaited to;
	uint8_t tag;
	bool last; /* and begins with a result code */
	uint8_t least;
} answers[] = {
    {LDAP_AWAIT_BIND, LDAP_RES_BIND, true, 7},
    {LDAP_AWAIT_SEARCH, LDAP_RES_SEARCH_ENTRY, false, 4},
    {LDAP_AWAIT_SEARCH, LDAP_RES_SEARCH_RESULT, true, 7},
    {LDAP_AWAIT_SEARCH, LDAP_RES_SEARCH_REFERENCE, false, 2},
    {LDAP_AWAIT_EXTENDED, LDAP_RES_EXTENDED, true, 7},
};

#define NUMBER_OCTETS 4u
#define LENGTH_OCTETS 4u
#define MESSAGE_LEAST 7u /* a number and the shortest of the answers */
#define BIG_TAG 0x1fu    /* more octets of the tag follow: nothing in LDAP has that */
#define CONSTRUCTED 0x20u

static const char too_short[] = "an LDAP message that ends too early";

void
ldap_gate_expect(struct ldap_gate *g, enum ldap_awaited awaited, int id)
{
	g->awaited = awaited;
	g->id = (uint32_t)id;
	g->messages = awaited == LDAP_AWAIT_SEARCH ? LDAP_MESSAGES_MAX : 1;
}

/* The functions below give NULL, or why the octet is refused. */

static const char *
take_operation(struct ldap_gate *g)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].to == g->awaited && answers[i].tag == g->tag) {
			g->last = answers[i].last;
			g->least = answers[i].least;
			return NULL;
		}
	return "an LDAP message that does not answer the request";
}

static const char *
take_tag(struct ldap_gate *g)
{
	switch (g->step) {
	case LDAP_GATE_MESSAGE:
		if (g->awaited == LDAP_AWAIT_NOTHING)
			return "octets that nobody asked for";
		return g->tag == LDAP_TAG_MESSAGE ? NULL : "octets that are no LDAP message";
	case LDAP_GATE_ID:
		return g->tag == LDAP_TAG_MSGID ? NULL : "an LDAP message without a number";
	case LDAP_GATE_OPERATION:
		return take_operation(g);
	case LDAP_GATE_CODE:
		return g->tag == LBER_ENUMERATED ? NULL : "an LDAP result without a code";
	case LDAP_GATE_REST:
		break;
	}
	return (g->tag & BIG_TAG) == BIG_TAG ? "an LDAP message with a tag of no use" : NULL;
}

/* Elements that are complete, up to the message. */
static const char *
end_element(struct ldap_gate *g)
{
	g->part = LDAP_GATE_TAG;
	while (g->depth > 0 && g->left[g->depth - 1] == 0)
		g->depth--;
	if (g->depth > 0)
		return NULL;
	if (g->step != LDAP_GATE_REST)
		return too_short;
	g->step = LDAP_GATE_MESSAGE;
	if (g->last)
		g->awaited = LDAP_AWAIT_NOTHING;
	return NULL;
}

/* The next element is in this one. */
static const char *
enter(struct ldap_gate *g)
{
	if (g->depth == LDAP_DEPTH_MAX)
		return "an LDAP message of too many elements in each other";
	g->left[g->depth++] = g->value;
	return end_element(g);
}

static const char *
begin_message(struct ldap_gate *g)
{
	if (g->value > LDAP_MESSAGE_MAX)
		return "an LDAP message that is too long";
	if (g->value < MESSAGE_LEAST)
		return too_short;
	if (g->messages == 0)
		return "too many LDAP messages";
	g->messages--;
	g->step = LDAP_GATE_ID;
	return enter(g);
}

static const char *
begin_number(struct ldap_gate *g)
{
	if (g->value == 0 || g->value > NUMBER_OCTETS)
		return "an LDAP message with a number of no possible length";
	g->width = g->more = g->value;
	g->value = 0;
	g->part = LDAP_GATE_NUMBER;
	return NULL;
}

/* Its length is known, and fits into what is around it. */
static const char *
begin_element(struct ldap_gate *g)
{
	if (g->depth > 0) {
		if (g->value > g->left[g->depth - 1])
			return too_short;
		g->left[g->depth - 1] -= g->value;
	}
	switch (g->step) {
	case LDAP_GATE_MESSAGE:
		return begin_message(g);
	case LDAP_GATE_ID:
	case LDAP_GATE_CODE:
		return begin_number(g);
	case LDAP_GATE_OPERATION:
		g->step = g->last ? LDAP_GATE_CODE : LDAP_GATE_REST;
		return g->value < g->least ? too_short : enter(g);
	case LDAP_GATE_REST:
		break;
	}
	if ((g->tag & CONSTRUCTED) != 0)
		return enter(g);
	g->more = g->value;
	g->part = LDAP_GATE_VALUE;
	return g->more == 0 ? end_element(g) : NULL;
}

static const char *
take_number(struct ldap_gate *g)
{
	if (g->step == LDAP_GATE_CODE) {
		g->step = LDAP_GATE_REST;
		return end_element(g);
	}
	if (g->value == 0) {
		g->over = true; /* RFC 4511, 4.4.1: no other is defined for what we ask */
		return "the server gave notice that it ends the connection";
	}
	if (g->value != g->id)
		return "an LDAP message that answers another request";
	g->step = LDAP_GATE_OPERATION;
	return end_element(g);
}

/* One more octet is to come, and must fit: libldap has the message with its last octet. */
static const char *
want_more(const struct ldap_gate *g)
{
	return g->depth > 0 && g->left[g->depth - 1] == 0 ? too_short : NULL;
}

static const char *
take_length(struct ldap_gate *g, uint8_t c)
{
	if (g->part == LDAP_GATE_LENGTH_MORE) {
		g->value = g->value << 8 | c;
		return --g->more > 0 ? want_more(g) : begin_element(g);
	}
	if (c < 0x80) {
		g->value = c;
		return begin_element(g);
	}
	g->value = 0;
	g->more = c & 0x7f;
	g->part = LDAP_GATE_LENGTH_MORE;
	if (g->more < 1 || g->more > LENGTH_OCTETS)
		return "an LDAP message of a length that cannot be read";
	return want_more(g);
}

/* An octet of a tag or length: it counts for the element around. */
static const char *
take_head(struct ldap_gate *g, uint8_t c)
{
	const char *wrong;

	if (g->depth > 0)
		g->left[g->depth - 1]--;
	if (g->part != LDAP_GATE_TAG)
		return take_length(g, c);
	g->tag = c;
	g->part = LDAP_GATE_LENGTH;
	wrong = take_tag(g);
	return wrong != NULL ? wrong : want_more(g);
}

static const char *
take_octet(struct ldap_gate *g, uint8_t c)
{
	if (g->part != LDAP_GATE_NUMBER)
		return take_head(g, c);
	if (g->more == g->width && (c & 0x80) != 0)
		return "an LDAP message with a negative number";
	g->value = g->value << 8 | c;
	return --g->more > 0 ? NULL : take_number(g);
}

int
ldap_gate_pass(struct ldap_gate *g, const void *p, size_t n)
{
	const uint8_t *at = p;
	uint32_t k;

	for (; n > 0 && g->refused == NULL; at += k, n -= k) {
		k = 1;
		if (g->part != LDAP_GATE_VALUE) {
			g->refused = take_octet(g, *at);
			continue;
		}
		k = n < g->more ? (uint32_t)n : g->more;
		g->more -= k;
		if (g->more == 0)
			g->refused = end_element(g);
	}
	return g->refused == NULL ? 0 : -1;
}
