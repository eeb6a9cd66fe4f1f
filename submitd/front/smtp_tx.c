/* SPDX-License-Identifier: ISC */
/*
 * The mail transaction: what MAIL began and the end of data, RSET or the end of the
 * session frees. Runs in front. An idle session has none.
 */
#include "base/ev.h"
#include "base/str.h"
#include "front/smtp_offer.h"
#include "front/smtp_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DUPS_MIN 16u /* up to so many recipients are compared one by one */

struct smtp_tx *
smtp_tx_new(struct smtp_session *s)
{
	const struct tls_facts *tls = smtp_session_tls(s);
	struct smtp_tx *tx = xcallocarray(1, sizeof(*tx));
	struct message *m = message_new();

	tx->msg = m;
	uuid_make_v7(&m->mid);
	m->received_ms = ev_wall_ms();
	m->sid = s->sid;
	m->listener = xstrdup(s->l->conf->title);
	m->client = s->client;
	m->helo = xstrdup(s->helo);
	if (tls != NULL) {
		m->tls_version = xstrdup(tls->version);
		m->tls_cipher = xstrdup(tls->cipher);
	}
	if (s->auth != NULL) {
		m->flags |= MSG_AUTHENTICATED;
		m->login = xstrdup(s->auth->login);
		m->principal = xstrdup(s->auth->principal);
		m->ou = xstrdup(s->auth->ou);
		m->backend = xstrdup(s->auth->backend);
		m->mech = xstrdup(s->auth->mech);
	}
	return tx;
}

void
smtp_tx_free(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;

	if (tx == NULL)
		return;
	s->tx = NULL;
	offer_abandon(s->front, tx->offer);
	s->front->data_used -= tx->counted;
	message_free(tx->msg);
	status_clear(&tx->refusal);
	buf_clear(&tx->in);
	buf_clear(&tx->body);
	free(tx->dups);
	free(tx);
}

/* ---- recipients given twice -------------------------------------------------------------------
 */

static uint8_t
lower(char c)
{
	return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static uint64_t
rcpt_hash(const struct smtp_tx *tx, const struct addr *a)
{
	const char *domain = a->ascii_domain[0] != '\0' ? a->ascii_domain : a->domain;
	uint64_t h = tx->dup_seed ^ 0xcbf29ce484222325u;

	for (const char *p = a->local; *p != '\0'; p++)
		h = (h ^ lower(*p)) * 0x100000001b3u;
	h = (h ^ '@') * 0x100000001b3u;
	for (const char *p = domain; *p != '\0'; p++)
		h = (h ^ lower(*p)) * 0x100000001b3u;
	h ^= h >> 32;
	return h * 0xff51afd7ed558ccdu >> 20;
}

ssize_t
smtp_tx_find_rcpt(struct smtp_tx *tx, const struct addr *a)
{
	const struct message *m = tx->msg;

	if (tx->dups == NULL) {
		for (size_t i = 0; i < m->n_rcpts; i++) {
			if (addr_equal(&m->rcpts[i].addr, a))
				return (ssize_t)i;
		}
		return -1;
	}
	for (size_t at = rcpt_hash(tx, a);; at++) {
		uint32_t i = tx->dups[at & (tx->dup_cap - 1)];

		if (i == 0)
			return -1;
		if (addr_equal(&m->rcpts[i - 1].addr, a))
			return (ssize_t)(i - 1);
	}
}

static void
dups_put(struct smtp_tx *tx, size_t index)
{
	size_t at = rcpt_hash(tx, &tx->msg->rcpts[index].addr);

	while (tx->dups[at & (tx->dup_cap - 1)] != 0)
		at++;
	tx->dups[at & (tx->dup_cap - 1)] = (uint32_t)index + 1;
}

void
smtp_tx_note_rcpt(struct smtp_tx *tx)
{
	size_t n = tx->msg->n_rcpts;

	if (n < DUPS_MIN)
		return;
	if (tx->dup_cap < 2 * n) {
		free(tx->dups);
		if (tx->dup_seed == 0)
			random_bytes(&tx->dup_seed, sizeof(tx->dup_seed));
		tx->dup_cap = tx->dup_cap == 0 ? 8 * DUPS_MIN : 4 * tx->dup_cap;
		tx->dups = xcallocarray(tx->dup_cap, sizeof(*tx->dups));
		for (size_t i = 0; i < n; i++)
			dups_put(tx, i);
	} else {
		dups_put(tx, n - 1);
	}
}

/* ---- refusal of the message --------------------------------------------------------------------
 */

static void
refused_now(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;

	/* what came is of no use any more */
	tx->refused = true;
	offer_abandon(s->front, tx->offer);
	tx->offer = NULL;
	buf_clear(&tx->in);
	buf_clear(&tx->body);
	s->front->data_used -= tx->counted;
	tx->counted = 0;
}

void
smtp_tx_refuse(struct smtp_session *s, enum verdict verdict, unsigned code, const char *esc,
    const char *fmt, ...)
{
	char text[SMTP_REPLY_TEXT];
	va_list ap;

	if (s->tx->refused)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	status_set(&s->tx->refusal, verdict, code, esc, "%s", text);
	refused_now(s);
}

void
smtp_tx_refuse_status(struct smtp_session *s, const struct status *status)
{
	if (s->tx->refused)
		return;
	status_copy(&s->tx->refusal, status);
	refused_now(s);
}
