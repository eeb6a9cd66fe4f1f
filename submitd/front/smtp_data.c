/* SPDX-License-Identifier: ISC */
/*
 * The octets of a message, from DATA or BDAT to the queue. Runs in front. Line ends
 * and dots are dotstuff.c's; a small message stays in memory, a large one goes to a
 * file that the queue opened, through a bounded buffer. A message that will be
 * refused is read to its end, not kept, and answered then: the session stays in step.
 */
#include "base/ev.h"
#include "base/fs.h"
#include "base/str.h"
#include "front/smtp_offer.h"
#include "front/smtp_session.h"

#include <errno.h>
#include <string.h>

#define PRESSURE_KEEP 16384u /* what a message may hold when memory is short */
#define RATE_GRACE_MS 60000

static void
ask_file(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;

	if (tx->file_asked)
		return;
	tx->file_asked = true;
	tx->offer = offer_new(s->front, &tx->msg->mid, s->sid);
	offer_open(s->front, tx->offer, tx->declared);
}

void
smtp_data_begin(struct smtp_session *s, bool bdat)
{
	unsigned tolerated = s->l->conf->tolerated, flags = bdat ? DOT_BDAT : 0;
	struct smtp_tx *tx = s->tx;

	if ((tolerated & CONF_TOLERATE_BARE_LF) != 0)
		flags |= DOT_ALLOW_BARE_LF;
	if ((tolerated & CONF_TOLERATE_NUL) != 0)
		flags |= DOT_ALLOW_NUL;
	if ((tolerated & CONF_TOLERATE_LONG_LINES) != 0)
		flags |= DOT_ALLOW_LONG;
	dot_decoder_init(&tx->dot, flags, (size_t)s->l->limit->max_line);
	tx->begun = true;
	tx->data_ms = ev_now_ms();
	if (tx->declared > SMTP_BODY_MEMORY)
		ask_file(s);
}

/* ---- storing -----------------------------------------------------------------------------------
 */

static void
data_count(struct smtp_session *s)
{
	size_t now = buf_len(&s->tx->in) + buf_len(&s->tx->body);

	s->front->data_used += now - s->tx->counted;
	s->tx->counted = now;
}

/* What is in memory to the file. */
static void
data_flush(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;
	size_t n = buf_len(&tx->body);

	if (n == 0)
		return;
	if (fs_pwrite(tx->offer->fd, buf_data(&tx->body), n, (off_t)tx->written) == -1) {
		if (errno == ENOSPC || errno == EDQUOT)
			smtp_tx_refuse(s, V_TEMP, 452, "4.3.1", "No space left, try again later");
		else
			smtp_tx_refuse(s, V_TEMP, 451, "4.3.0",
			    "The message could not be stored: %s", strerror(errno));
		return;
	}
	tx->written += n;
	buf_reset(&tx->body);
	data_count(s);
}

static bool
file_is_open(const struct smtp_tx *tx)
{
	return tx->offer != NULL && tx->offer->fd != -1;
}

/* Keeps this message, and all of them together, within memory. */
static void
data_pressure(struct smtp_session *s)
{
	bool high = s->front->data_used > (uint64_t)s->front->conf->server->data_memory;
	struct smtp_tx *tx = s->tx;
	size_t held = buf_len(&tx->body);

	if (!tx->header_done) {
		if (high && buf_len(&tx->in) > PRESSURE_KEEP)
			smtp_tx_refuse(s, V_TEMP, 452, "4.3.1",
			    "Too many messages at the same time, try again later");
		return;
	}
	if (file_is_open(tx)) {
		if (held >= SMTP_BODY_MEMORY || high)
			data_flush(s);
		return;
	}
	if (held > SMTP_BODY_MEMORY || (high && held > PRESSURE_KEEP)) {
		ask_file(s);
		s->blocked = true; /* until smtp_data_on_file() */
	}
}

/* Looks for the empty line; the header is complete then. */
static void
header_look(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;
	const char *p = (const char *)buf_data(&tx->in);
	size_t n = buf_len(&tx->in), max = (size_t)s->l->limit->max_header_size;
	const char *end;

	if (n >= 2 && p[0] == '\r' && p[1] == '\n') {
		smtp_header_finish(s, 0, 2);
		return;
	}
	end = memmem(p + tx->scanned, n - tx->scanned, "\r\n\r\n", 4);
	if (end != NULL && (size_t)(end - p) <= max) {
		smtp_header_finish(s, (size_t)(end - p) + 2, (size_t)(end - p) + 4);
	} else if (end != NULL || n > max) {
		smtp_tx_refuse(s, V_PERM, 552, "5.3.4",
		    "The header of the message is too large: at most %zu octets", max);
	} else {
		tx->scanned = n < 3 ? 0 : n - 3;
	}
}

static void
refuse_line(struct smtp_session *s)
{
	static const char *const why[DOT__MAX] = {
	    [DOT_BARE_CR] = "a CR without LF: lines must end with CR LF",
	    [DOT_BARE_LF] = "a LF without CR: lines must end with CR LF",
	    [DOT_NUL] = "a NUL octet: encode binary data as base64",
	    [DOT_LONG_LINE] = "a line that is too long",
	};

	if (s->tx->dot.error == DOT_LONG_LINE)
		smtp_tx_refuse(s, V_PERM, 550, "5.6.0",
		    "The message holds a line of more than %lld octets: wrap or encode it",
		    (long long)s->l->limit->max_line);
	else
		smtp_tx_refuse(
		    s, V_PERM, 550, "5.6.0", "The message holds %s", why[s->tx->dot.error]);
}

/* What dot_decode() or its finish put into out since it had `before` octets. */
static void
data_took(struct smtp_session *s, struct buf *out, size_t before)
{
	uint64_t max = (uint64_t)s->front->conf->server->message_size_limit;
	struct smtp_tx *tx = s->tx;

	if (tx->refused) {
		buf_reset(out);
		return;
	}
	tx->total += buf_len(out) - before;
	if (tx->dot.error != DOT_OK)
		refuse_line(s);
	else if (tx->total > max)
		smtp_tx_refuse(s, V_PERM, 552, "5.3.4",
		    "The message is too large: at most %llu octets are taken",
		    (unsigned long long)max);
	else if (!tx->header_done)
		header_look(s);
	if (!tx->refused) {
		data_count(s);
		data_pressure(s);
	}
}

static struct buf *
data_out(struct smtp_tx *tx)
{
	return tx->header_done || tx->refused ? &tx->body : &tx->in;
}

/* ---- the end
 * ------------------------------------------------------------------------------------- */

static void
data_refused(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;
	const struct message *m = tx->msg;
	char esc[STATUS_ESC_TEXT];
	struct refusal refusal = {.from = &m->sender,
	    .to = m->n_rcpts == 1 ? &m->rcpts[0].addr : NULL,
	    .code = tx->refusal.code,
	    .esc = esc,
	    .text = tx->refusal.text,
	    .mid = &m->mid,
	    .rule = tx->rule};

	status_esc(&tx->refusal, esc);
	s->front->stats.rejected++;
	smtp_log_refused(s, &refusal);
	smtp_reply_status(s, &tx->refusal);
}

static void
data_finish(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;
	struct message *m = tx->msg;

	if (!tx->refused && !tx->header_done)
		smtp_header_finish(s, buf_len(&tx->in), buf_len(&tx->in));
	if (!tx->refused && tx->file_asked) {
		if (!file_is_open(tx)) {
			s->blocked = true;
			return; /* smtp_data_on_file() comes back */
		}
		data_flush(s);
	}
	if (tx->refused) {
		data_refused(s);
		smtp_session_reset_tx(s);
		return;
	}
	if (tx->dot.has_8bit)
		m->flags |= MSG_8BITMIME;
	m->size = tx->file_asked ? tx->written : buf_len(&tx->body);
	if (tx->offer == NULL)
		tx->offer = offer_new(s->front, &m->mid, s->sid);
	smtp_session_enter(s, ST_COMMIT);
	s->blocked = true;
	s->front->data_used -= tx->counted; /* the offer counts from here */
	tx->counted = 0;
	tx->msg = NULL;
	offer_submit(s->front, tx->offer, m, &tx->body);
}

void
smtp_data_on_file(struct smtp_session *s, unsigned code, const char *esc, struct span text)
{
	struct smtp_tx *tx = s->tx;

	smtp_session_hold(s);
	if (code != 250) {
		smtp_tx_refuse(s, V_TEMP, code >= 400 && code < 600 ? code : 451,
		    esc[0] == '\0' ? "4.3.0" : esc, "%.*s", (int)text.n, text.p);
	} else if (tx->header_done) {
		data_flush(s);
	}
	if (tx->ended)
		data_finish(s);
	smtp_session_resume(s);
}

void
smtp_data_on_commit(struct smtp_session *s, unsigned code, const char *esc, struct span text)
{
	char mid[UUID_TEXT];

	smtp_session_hold(s);
	uuid_format(&s->tx->offer->mid, mid);
	s->tx->offer = NULL; /* smtp_offer.c frees it */
	if (code == 250) {
		s->messages++;
		s->errors = 0;
		smtp_reply(s, 250, "2.0.0", "Ok: queued as %s", mid);
	} else {
		s->front->stats.rejected++;
		smtp_reply_text(s, code, esc, text);
	}
	smtp_session_reset_tx(s);
	smtp_session_resume(s);
}

void
smtp_data_give_up(struct smtp_session *s)
{
	offer_forget(s->front, s->tx->offer);
	s->tx->offer = NULL;
}

/* ---- BDAT
 * ---------------------------------------------------------------------------------------- */

static void
junk_end(struct smtp_session *s)
{
	s->junk = false;
	smtp_session_enter(s, (enum smtp_state)s->chunk_from);
	if (s->tx == NULL)
		smtp_reply(s, 503, "5.5.1", "Send MAIL and RCPT first; the chunk was thrown away");
	else
		smtp_reply(s, 554, "5.5.1", "No valid recipients; the chunk was thrown away");
}

static void
chunk_end(struct smtp_session *s)
{
	struct smtp_tx *tx = s->tx;

	if (tx->chunk_last) {
		struct buf *out = data_out(tx);
		size_t before = buf_len(out);

		dot_decode_finish(&tx->dot, out);
		data_took(s, out, before);
		tx->ended = true;
		data_finish(s);
		return;
	}
	if (tx->refused)
		smtp_reply_status(s, &tx->refusal);
	else
		smtp_reply(s, 250, "2.0.0", "%llu octets received", (unsigned long long)tx->chunk);
	smtp_session_enter(s, ST_BDAT);
}

void
smtp_data_chunk(struct smtp_session *s, uint64_t size, bool last)
{
	struct smtp_tx *tx = s->tx;

	if (tx == NULL || tx->msg->n_rcpts == 0) {
		s->junk = true;
		s->junk_left = size;
		s->chunk_from = s->state;
		smtp_session_enter(s, ST_CHUNK);
		if (size == 0)
			junk_end(s);
		return;
	}
	if (!tx->begun)
		smtp_data_begin(s, true);
	tx->chunk = tx->chunk_left = size;
	tx->chunk_last = last;
	smtp_session_enter(s, ST_CHUNK);
	if (tx->total + size > (uint64_t)s->front->conf->server->message_size_limit + 2)
		smtp_tx_refuse(s, V_PERM, 552, "5.3.4",
		    "The message is too large: at most %lld octets are taken",
		    (long long)s->front->conf->server->message_size_limit);
	if (size == 0)
		chunk_end(s);
}

/* ---- input
 * --------------------------------------------------------------------------------------- */

static bool
too_slow(struct smtp_session *s)
{
	int64_t ms = ev_now_ms() - s->tx->data_ms, rate = s->l->limit->data_min_rate;

	if (rate == 0 || ms <= RATE_GRACE_MS || (int64_t)s->tx->raw >= rate * (ms / 1000))
		return false;
	smtp_reply_close(s, "4.4.2", "timeout: the message comes too slowly");
	return true;
}

size_t
smtp_data_input(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct smtp_tx *tx = s->tx;
	struct buf *out;
	size_t before, took;

	if (s->state == ST_CHUNK && s->junk) {
		took = n < s->junk_left ? n : (size_t)s->junk_left;
		s->junk_left -= took;
		if (s->junk_left == 0)
			junk_end(s);
		return took;
	}
	tx->raw += n;
	if (too_slow(s))
		return n;
	/* it is refused long since; reading on for ever would only cost */
	if (tx->raw > 2 * (uint64_t)s->front->conf->server->message_size_limit + (1u << 20)) {
		smtp_reply_close(s, "4.3.4", "the message is far over the limit");
		return n;
	}
	if (s->state == ST_CHUNK && n > tx->chunk_left)
		n = (size_t)tx->chunk_left;
	s->input_left = 0;
	out = data_out(tx);
	before = buf_len(out);
	took = dot_decode(&tx->dot, p, n, out);
	data_took(s, out, before);
	if (s->state == ST_CHUNK) {
		tx->chunk_left -= took;
		if (tx->chunk_left == 0)
			chunk_end(s);
	} else if (tx->dot.done) {
		tx->ended = true;
		data_finish(s);
	}
	return took;
}
