/* SPDX-License-Identifier: ISC */
/*
 * What the sessions of a front process share: the table of sessions by sid, the
 * mechanisms that auth told, closing of idle sessions. Runs in front, and in tests
 * that make a struct front of their own.
 */
#include "base/log.h"
#include "base/str.h"
#include "front/front.h"
#include "front/smtp_offer.h"
#include "front/smtp_session.h"

#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 24u /* low bits of a sid; the others are random */
#define SLOT_MASK ((UINT64_C(1) << SLOT_BITS) - 1)

void
front_init(struct front *f, const struct conf *conf, const struct front_link *link)
{
	struct addr a;

	memset(f, 0, sizeof(*f));
	f->conf = conf;
	f->link = link;
	TAILQ_INIT(&f->offers);
	f->n_listeners = conf->n_listener;
	f->listeners = xcallocarray(f->n_listeners, sizeof(*f->listeners));
	for (size_t i = 0; i < f->n_listeners; i++) {
		f->listeners[i].conf = &conf->listener_blocks[i];
		f->listeners[i].limit = conf->listener_blocks[i].limit_block;
	}
	if (conf->server->postmaster != NULL &&
	    addr_parse(span_of(conf->server->postmaster), ADDR_ALLOW_UTF8, &a) == ADDR_OK) {
		f->postmaster = xmalloc(sizeof(a));
		*f->postmaster = a;
	}
}

void
front_clear(struct front *f)
{
	for (uint32_t i = 0; i < f->n_slots; i++) {
		if (f->slots[i] != NULL)
			smtp_session_end(f->slots[i], false);
	}
	offers_clear(f);
	admit_clear(&f->admit);
	front_forget_mechs(f);
	front_tls_free(f);
	free(f->listeners);
	free(f->slots);
	free(f->free_slots);
	free(f->postmaster);
	memset(f, 0, sizeof(*f));
}

uint64_t
front_slot_take(struct front *f, struct smtp_session *s)
{
	uint64_t random;
	uint32_t slot;

	if (f->n_free > 0) {
		slot = f->free_slots[--f->n_free];
	} else {
		if (f->n_slots == f->cap_slots) {
			f->cap_slots = f->cap_slots == 0 ? 64 : f->cap_slots * 2;
			invariant(f->cap_slots <= SLOT_MASK + 1);
			f->slots = xreallocarray(f->slots, f->cap_slots, sizeof(*f->slots));
			f->free_slots =
			    xreallocarray(f->free_slots, f->cap_slots, sizeof(*f->free_slots));
		}
		slot = f->n_slots++;
	}
	f->slots[slot] = s;
	f->n_sessions++;
	random_bytes(&random, sizeof(random));
	random = (random & ~SLOT_MASK) | slot;
	return random <= SLOT_MASK ? random | (SLOT_MASK + 1) : random; /* 0 is nobody */
}

void
front_slot_release(struct front *f, uint64_t sid)
{
	uint32_t slot = (uint32_t)(sid & SLOT_MASK);

	f->slots[slot] = NULL;
	f->free_slots[f->n_free++] = slot;
	f->n_sessions--;
}

struct smtp_session *
front_session(struct front *f, uint64_t sid)
{
	uint64_t slot = sid & SLOT_MASK;

	if (sid == 0 || slot >= f->n_slots || f->slots[slot] == NULL ||
	    f->slots[slot]->sid != sid || f->slots[slot]->state == ST_CLOSED)
		return NULL;
	return f->slots[slot];
}

static char *
mechs_copy(struct span s)
{
	return s.n == 0 || s.n > 500 || str_has_control(s) ? NULL : span_dup(s);
}

void
front_set_mechs(struct front *f, const char *listener, const struct ipc_auth_mechs *m)
{
	for (size_t i = 0; i < f->n_listeners; i++) {
		struct front_listener *l = &f->listeners[i];

		if (strcmp(l->conf->title, listener) != 0)
			continue;
		free(l->mechs_clear);
		free(l->mechs_tls);
		free(l->mechs_cert);
		l->mechs_clear = mechs_copy(m->clear);
		l->mechs_tls = mechs_copy(m->encrypted);
		l->mechs_cert = mechs_copy(m->certified);
	}
}

void
front_forget_mechs(struct front *f)
{
	for (size_t i = 0; i < f->n_listeners; i++) {
		struct front_listener *l = &f->listeners[i];

		free(l->mechs_clear);
		free(l->mechs_tls);
		free(l->mechs_cert);
		l->mechs_clear = l->mechs_tls = l->mechs_cert = NULL;
	}
}

void
front_auth_lost(struct front *f)
{
	for (uint32_t i = 0; i < f->n_slots; i++) {
		if (f->slots[i] != NULL)
			smtp_auth_on_lost(f->slots[i]);
	}
}

void
front_close_idle(struct front *f)
{
	f->closing = true;
	for (uint32_t i = 0; i < f->n_slots; i++) {
		struct smtp_session *s = f->slots[i];

		if (s != NULL && smtp_session_idle(s))
			smtp_reply_close(
			    s, "4.3.2", "this server is being restarted; connect again");
	}
}
