/* SPDX-License-Identifier: ISC */
/*
 * A complete header on its way in: scanned once, checked against loops and policy,
 * mended where RFC 6409 says so, with our Received in front. Runs in front.
 */
#include "base/ev.h"
#include "base/str.h"
#include "front/smtp_session.h"

#include <string.h>

#define HEADER_TEXT_MAX 250u

/* P5: policy judges the address as it will be written. */
static void
qualify(struct addr *a, const char *domain)
{
	if (domain == NULL || a->domain[0] != '\0' || a->local[0] == '\0' ||
	    addr_domain_ascii(span_of(domain), a->ascii_domain) == -1)
		return;
	if (str_copy(a->domain, sizeof(a->domain), a->ascii_domain) == -1)
		a->domain[0] = a->ascii_domain[0] = '\0';
}

static void
header_policy(struct smtp_session *s, const struct header_info *info, const char *domain)
{
	struct policy_result r;
	struct facts f;

	r.want_notes = 0;
	smtp_session_facts(s, AT_DATA, &f);
	f.have_header_from = true;
	f.n_header_from = info->n_from;
	if (f.n_header_from > FACTS_MAX_HEADER_ADDRS)
		f.n_header_from = FACTS_MAX_HEADER_ADDRS;
	memcpy(f.header_from, info->from, f.n_header_from * sizeof(f.header_from[0]));
	for (uint32_t i = 0; i < f.n_header_from; i++)
		qualify(&f.header_from[i], domain);
	/* what cannot be read is nobody's own address: policy sees none, or an unknown one */
	if (info->from_unparsable) {
		if (f.n_header_from == FACTS_MAX_HEADER_ADDRS)
			f.n_header_from--;
		f.header_from[f.n_header_from] = (struct addr){.local = "unreadable"};
		f.n_header_from++;
	}
	policy_decide(s->front->conf, &f, &r);
	if (r.verdict != V_OK && r.verdict != V_NEXT) {
		if (!s->tx->refused && r.rule != NULL)
			s->tx->rule = r.rule->id;
		smtp_tx_refuse_status(s, &r.status);
	} else
		facts_encode(&s->tx->msg->facts, &f);
	policy_result_clear(&r);
}

static char *
header_text(struct span raw)
{
	struct buf text = BUF_INIT;
	char *out = NULL;

	if (raw.p == NULL)
		return NULL;
	header_decode_text(raw, HEADER_TEXT_MAX, &text);
	out = span_dup(buf_span(&text));
	buf_clear(&text);
	return out;
}

static void
header_note(struct message *m, const struct header_info *info)
{
	m->header_from = header_text(info->from_text);
	m->subject = header_text(info->subject);
	m->message_id = header_text(info->message_id);
	if (info->has_8bit && (m->flags & MSG_SMTPUTF8) != 0)
		m->flags |= MSG_UTF8_NEEDED;
	if (!info->has_8bit)
		m->flags |= MSG_HEADER_ASCII;
}

static void
add_received(struct smtp_session *s, struct buf *out)
{
	const struct tls_facts *tls = smtp_session_tls(s);
	const struct message *m = s->tx->msg;
	bool hidden = s->auth != NULL && s->l->conf->hide_client;
	char rcpt[ADDR_TEXT];
	struct header_received r = {.helo = hidden ? NULL : s->helo,
	    .client = hidden ? NULL : &s->client,
	    .hostname = s->front->conf->server->hostname,
	    .esmtp = s->esmtp,
	    .tls = tls != NULL,
	    .auth = s->auth != NULL,
	    .utf8 = (m->flags & MSG_SMTPUTF8) != 0,
	    .tls_version = tls == NULL ? NULL : tls->version,
	    .tls_cipher = tls == NULL ? NULL : tls->cipher,
	    .mid = &m->mid,
	    .now_ms = m->received_ms};

	if (m->n_rcpts == 1) {
		/* in ASCII where that is possible: it may go to a host without SMTPUTF8 */
		if (addr_format_ascii(&m->rcpts[0].addr, rcpt) == -1)
			addr_format(&m->rcpts[0].addr, rcpt);
		r.rcpt = rcpt;
	}
	header_add_received(out, &r);
}

void
smtp_header_finish(struct smtp_session *s, size_t block, size_t rest)
{
	const struct conf_server *server = s->front->conf->server;
	bool submission = s->auth != NULL || s->l->conf->role == LISTENER_SUBMISSION;
	struct smtp_tx *tx = s->tx;
	struct span in = buf_span(&tx->in), head = {in.p, block};
	struct header_info info;
	struct header_fix fix = {.add_date = submission,
	    .add_message_id = submission,
	    .drop_bcc = submission,
	    .now_ms = tx->msg->received_ms,
	    .hostname = server->hostname,
	    .mid = &tx->msg->mid,
	    .qualify_domain = s->auth == NULL ? NULL : s->l->conf->default_domain};

	tx->header_done = true;
	header_scan(head, &info);
	if (info.malformed) {
		/* a line that is no field: all from there on is body */
		head.n = info.valid_bytes;
		rest = info.valid_bytes;
	}
	if (info.received > (uint64_t)server->loop_limit) {
		smtp_tx_refuse(s, V_PERM, 554, "5.4.6",
		    "The message is going round in circles: %u Received fields", info.received);
		return;
	}
	header_policy(s, &info, fix.qualify_domain);
	if (tx->refused)
		return;
	header_note(tx->msg, &info);
	buf_reserve(&tx->body, in.n + 1024);
	add_received(s, &tx->body);
	header_copy_fixed(&tx->body, head, &info, &fix);
	if (tx->msg->message_id == NULL && fix.add_message_id)
		tx->msg->message_id = header_text(header_find(buf_span(&tx->body), "Message-ID"));
	buf_add(&tx->body, "\r\n", 2);
	buf_add(&tx->body, in.p + rest, in.n - rest);
	buf_clear(&tx->in);
}
