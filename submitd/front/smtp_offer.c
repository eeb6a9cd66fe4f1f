/* SPDX-License-Identifier: ISC */
/*
 * Messages on their way to the queue. Runs in front. An offer is kept until the
 * queue answers and is said again, whole, to a queue that was restarted; the queue
 * knows messages by their mid and takes none twice. So a crash of the queue costs a
 * pause, not a message and not a session.
 */
#include "front/smtp_offer.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "front/smtp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_RETRY_MS 2

static struct offer **
offer_bucket(struct front *f, const struct uuid *mid)
{
	/* the tail of a version 7 UUID is random */
	return &f->buckets[((unsigned)mid->b[14] << 8 | mid->b[15]) % OFFER_BUCKETS];
}

static struct offer *
offer_find(struct front *f, const struct uuid *mid)
{
	struct offer *o = *offer_bucket(f, mid);

	while (o != NULL && !uuid_equal(&o->mid, mid))
		o = o->next_in_bucket;
	return o;
}

struct offer *
offer_new(struct front *f, const struct uuid *mid, uint64_t sid)
{
	struct offer *o = xcallocarray(1, sizeof(*o)), **at = offer_bucket(f, mid);

	o->mid = *mid;
	o->sid = sid;
	o->fd = -1;
	o->next_in_bucket = *at;
	*at = o;
	TAILQ_INSERT_TAIL(&f->offers, o, entry);
	return o;
}

static void
offer_free(struct front *f, struct offer *o)
{
	struct offer **at = offer_bucket(f, &o->mid);

	while (*at != o)
		at = &(*at)->next_in_bucket;
	*at = o->next_in_bucket;
	TAILQ_REMOVE(&f->offers, o, entry);
	f->data_used -= o->counted;
	if (o->fd != -1)
		close(o->fd);
	message_free(o->msg);
	buf_clear(&o->head);
	buf_clear(&o->body);
	free(o);
}

static struct span
offer_mid(const struct offer *o)
{
	return (struct span){(const char *)o->mid.b, sizeof(o->mid.b)};
}

/* ---- sending
 * ------------------------------------------------------------------------------------- */

static struct span
offer_part(const struct buf *b, size_t *sent, size_t *room)
{
	size_t n = buf_len(b) - *sent;
	struct span part;

	if (n > *room)
		n = *room;
	part = (struct span){(const char *)buf_data(b) + *sent, n};
	*sent += n;
	*room -= n;
	return part;
}

/* False: the queue is busy or gone; it is tried again later. */
static bool
offer_send(struct front *f, struct offer *o)
{
	bool first = o->head_sent == 0;

	while (first || o->head_sent < buf_len(&o->head) || o->body_sent < buf_len(&o->body)) {
		size_t room = IPC_CHUNK;
		struct span head, body;
		int rc;

		if (f->link->queue_busy())
			return false;
		head = offer_part(&o->head, &o->head_sent, &room);
		body = offer_part(&o->body, &o->body_sent, &room);
		if (first) {
			struct ipc_msg_offer m = {.mid = offer_mid(o),
			    .sid = o->msg->sid,
			    .large = o->fd != -1,
			    .head_size = (uint32_t)buf_len(&o->head),
			    .body_size = o->msg->size,
			    .head = head,
			    .body = body};
			rc = f->link->msg_offer(&m);
		} else {
			struct ipc_msg_more m = {.mid = offer_mid(o), .head = head, .body = body};
			rc = f->link->msg_more(&m);
		}
		first = false;
		if (rc == -1) {
			o->head_sent = o->body_sent = 0; /* offers_on_queue_up() begins anew */
			return false;
		}
	}
	o->sent = true;
	return true;
}

static void offers_go_on(void *);

static void
offers_later(struct front *f)
{
	if (!ev_timer_pending(&f->offer_timer))
		ev_timer_set(&f->offer_timer, BUSY_RETRY_MS, offers_go_on, f);
}

/* In order, so that an offer that has begun is finished before the next begins. */
static void
offers_go_on(void *arg)
{
	struct front *f = arg;
	struct offer *o;

	TAILQ_FOREACH (o, &f->offers, entry) {
		if (!o->submitted || o->sent)
			continue;
		if (!offer_send(f, o)) {
			if (o->head_sent > 0 || f->link->queue_busy())
				offers_later(f);
			return;
		}
	}
}

static void
send_open(struct front *f, struct offer *o)
{
	struct ipc_body_open m = {.mid = offer_mid(o), .size_hint = o->size_hint};

	(void)f->link->body_open(&m); /* nobody there: said again when the queue is back */
}

void
offer_open(struct front *f, struct offer *o, uint64_t size_hint)
{
	o->opening = true;
	o->size_hint = size_hint;
	send_open(f, o);
}

void
offer_submit(struct front *f, struct offer *o, struct message *m, struct buf *body)
{
	o->msg = m;
	message_encode(&o->head, m);
	buf_move(&o->body, body);
	o->submitted = true;
	o->counted = buf_len(&o->head) + buf_len(&o->body);
	f->data_used += o->counted;
	if (ev_timer_pending(&f->offer_timer))
		return; /* others are before it */
	if (!offer_send(f, o) && (o->head_sent > 0 || f->link->queue_busy()))
		offers_later(f);
}

/* ---- letting go
 * ---------------------------------------------------------------------------------- */

void
offer_abandon(struct front *f, struct offer *o)
{
	if (o == NULL)
		return;
	if (o->submitted) {
		o->sid = 0; /* it is on its way and wanted */
		return;
	}
	offer_forget(f, o);
}

void
offer_forget(struct front *f, struct offer *o)
{
	if (!o->submitted && (o->opening || o->fd != -1)) {
		struct ipc_body_drop m = {.mid = offer_mid(o)};

		f->link->body_drop(&m);
	}
	if (o->submitted && !o->sent && o->head_sent > 0) {
		/* half of it is said: the rest must follow, or the queue would wait for it */
		o->sid = 0;
		return;
	}
	offer_free(f, o);
}

void
offers_clear(struct front *f)
{
	struct offer *o;

	ev_timer_clear(&f->offer_timer);
	while ((o = TAILQ_FIRST(&f->offers)) != NULL)
		offer_free(f, o);
}

/* ---- answers
 * ------------------------------------------------------------------------------------- */

static int
mid_of(struct span s, struct uuid *mid)
{
	if (s.n != sizeof(mid->b))
		return -1;
	memcpy(mid->b, s.p, sizeof(mid->b));
	return 0;
}

int
offers_on_opened(struct front *f, const struct ipc_body_opened *m, int fd)
{
	struct smtp_session *s;
	struct offer *o;
	struct uuid mid;
	char esc[16];

	if (mid_of(m->mid, &mid) == -1 || (m->code == 250 && fd == -1)) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	o = offer_find(f, &mid);
	s = o == NULL ? NULL : front_session(f, o->sid);
	if (s == NULL || !o->opening) {
		if (fd != -1)
			close(fd);
		return 0; /* the session ended meanwhile; BODY_DROP is on its way */
	}
	o->opening = false;
	if (m->code == 250)
		o->fd = fd;
	else if (fd != -1)
		close(fd);
	if (str_copy_span(esc, sizeof(esc), m->esc) == -1)
		esc[0] = '\0';
	smtp_data_on_file(s, m->code, esc, m->text);
	return 0;
}

static void
log_accepted(const struct offer *o)
{
	const struct message *m = o->msg;
	char sid[17], mid[UUID_TEXT], from[ADDR_TEXT];
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	str_printf(sid, sizeof(sid), "%016llx", (unsigned long long)m->sid);
	uuid_format(&m->mid, mid);
	addr_format(&m->sender, from);
	log_begin(&l, LOG_LEVEL_INFO, EV_ACCEPTED);
	log_str(&l, LK_SID, sid);
	log_str(&l, LK_MID, mid);
	log_str(&l, LK_LISTENER, m->listener);
	log_addr(&l, LK_CLIENT, &m->client);
	log_str(&l, LK_LOGIN, m->login);
	log_str(&l, LK_FROM, from);
	log_u64(&l, LK_RCPTS, m->n_rcpts);
	log_u64(&l, LK_SIZE, m->size);
	log_str(&l, LK_MESSAGE_ID, m->message_id);
	log_end(&l);
}

int
offers_on_res(struct front *f, const struct ipc_msg_res *m)
{
	struct smtp_session *s;
	struct offer *o;
	struct uuid mid;
	char esc[16];
	unsigned code = m->code;

	if (mid_of(m->mid, &mid) == -1)
		return -1;
	o = offer_find(f, &mid);
	if (o == NULL || !o->submitted)
		return 0; /* answered before, by the queue that was there before */
	if (code == 250) {
		f->stats.accepted++;
		f->stats.bytes += o->msg->size;
		f->stats.rcpts += o->msg->n_rcpts;
		log_accepted(o);
	} else if (code < 400 || code > 599) {
		code = 451;
	}
	if (str_copy_span(esc, sizeof(esc), m->esc) == -1 || esc[0] == '\0')
		memcpy(esc, code >= 500 ? "5.3.0" : "4.3.0", 6);
	s = front_session(f, o->sid);
	if (s != NULL)
		smtp_data_on_commit(s, code, esc, m->text);
	offer_free(f, o);
	return 0;
}

void
offers_on_queue_up(struct front *f)
{
	struct offer *o;

	TAILQ_FOREACH (o, &f->offers, entry) {
		o->sent = false;
		o->head_sent = o->body_sent = 0;
		if (o->opening)
			send_open(f, o);
	}
	offers_go_on(f);
}
