/* SPDX-License-Identifier: ISC */
/*
 * Large bodies: files that fronts write through a descriptor of ours. Each belongs to
 * the front that asked for it; another one can neither drop it nor offer a message
 * over it. Event thread of process queue.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <string.h>

static const struct qfile *
file_find(const struct queue *q, const struct uuid *mid)
{
	for (size_t i = 0; i < q->n_open_files; i++)
		if (uuid_equal(&q->open_files[i].mid, mid))
			return &q->open_files[i];
	return NULL;
}

bool
queue_file_is_foreign(const struct queue *q, const struct uuid *mid, const struct ipc_peer *p)
{
	const struct qfile *f = file_find(q, mid);

	return f != NULL && !qowner_is(&f->owner, p);
}

void
queue_file_forget(struct queue *q, const struct uuid *mid)
{
	for (size_t i = 0; i < q->n_open_files; i++) {
		if (uuid_equal(&q->open_files[i].mid, mid)) {
			q->open_files[i] = q->open_files[--q->n_open_files];
			return;
		}
	}
}

/* Of an accepted message nobody drops the file, of an old one neither: only what we gave out. */
void
queue_file_drop(struct queue *q, const struct uuid *mid)
{
	if (file_find(q, mid) == NULL)
		return;
	queue_file_forget(q, mid);
	(void)queue_body_release_big(q->commit.body, mid);
}

int
queue_on_body_open(struct ipc_peer *p, struct ipc_in *in)
{
	struct queue *q = queue_self();
	struct ipc_body_open o;
	struct ipc_body_opened res = {.code = 452,
	    .esc = span_of("4.3.1"),
	    .text = span_of("Not enough room for this message now, try again later")};
	struct uuid mid;
	int fd = -1;

	if (ipc_decode_body_open(in, &o) == -1 || queue_take_mid(o.mid, &mid) == -1)
		return -1;
	res.mid = o.mid;
	if (!q->full && q->n_open_files < OPEN_FILES_MAX) {
		fd = queue_body_big_create(q->commit.body, &mid);
		/* EEXIST: a queue that died made it and could not say so; 452 brings a new mid */
		if (fd == -1)
			log_note(LOG_LEVEL_ERROR, "spool: a file for a large message: %s",
			    strerror(errno));
	}
	if (fd != -1) {
		res.code = 250;
		res.esc = span_of("2.0.0");
		res.text = span_of("");
		if (q->n_open_files == q->cap_open_files) {
			q->cap_open_files = q->cap_open_files == 0 ? 64 : q->cap_open_files * 2;
			q->open_files =
			    xreallocarray(q->open_files, q->cap_open_files, sizeof(*q->open_files));
		}
		q->open_files[q->n_open_files++] = (struct qfile){mid, p, qowner_of(p)};
	}
	(void)ipc_send_body_opened(p, fd, &res);
	return 0;
}

int
queue_on_body_drop(struct ipc_peer *p, struct ipc_in *in)
{
	struct queue *q = queue_self();
	struct ipc_body_drop o;
	struct uuid mid;

	if (ipc_decode_body_drop(in, &o) == -1 || queue_take_mid(o.mid, &mid) == -1)
		return -1;
	if (queue_file_is_foreign(q, &mid, p))
		return -1;
	if (queue_offer_find(q, &mid) == NULL)
		queue_file_drop(q, &mid);
	return 0;
}

void
queue_file_front_down(struct queue *q, const struct ipc_peer *p)
{
	/* what it was writing nobody can finish */
	for (size_t i = q->n_open_files; i-- > 0;) {
		if (q->open_files[i].peer != p)
			continue;
		if (queue_offer_find(q, &q->open_files[i].mid) == NULL)
			(void)queue_body_release_big(q->commit.body, &q->open_files[i].mid);
		q->open_files[i] = q->open_files[--q->n_open_files];
	}
}
