/* SPDX-License-Identifier: ISC */
/*
 * What the body files hold: how much of each segment is still needed, counted along with
 * the rows of a transaction, and which files are removed once it is committed. Commit
 * thread of process queue.
 */
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more. */
static void
segments_reserve(struct qcommit *c)
{
	if (c->n_segs < c->cap_segs)
		return;
	c->cap_segs = c->cap_segs == 0 ? 64 : c->cap_segs * 2;
	c->segs = xreallocarray(c->segs, c->cap_segs, sizeof(*c->segs));
	c->seg_dirty = xreallocarray(c->seg_dirty, c->cap_segs, sizeof(*c->seg_dirty));
}

/* Where it stands or belongs: sorted by number, nearly always at the end. */
static size_t
segment_index(const struct qcommit *c, uint64_t seg)
{
	size_t lo = 0, hi = c->n_segs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (c->segs[mid].seg < seg)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct store_segment *
segment_get(struct qcommit *c, uint64_t seg)
{
	size_t i = segment_index(c, seg);

	if (i < c->n_segs && c->segs[i].seg == seg) {
		c->seg_dirty[i] = true;
		return &c->segs[i];
	}
	segments_reserve(c);
	memmove(&c->segs[i + 1], &c->segs[i], (c->n_segs - i) * sizeof(*c->segs));
	memmove(&c->seg_dirty[i + 1], &c->seg_dirty[i], (c->n_segs - i) * sizeof(*c->seg_dirty));
	c->segs[i] = (struct store_segment){.seg = seg};
	c->seg_dirty[i] = true;
	c->n_segs++;
	return &c->segs[i];
}

void
qcommit_segment_add(struct qcommit *c, const struct body_ref *ref)
{
	struct store_segment *s;

	if (ref->seg == 0)
		return;
	s = segment_get(c, ref->seg);
	s->live++;
	s->live_bytes += queue_body_size(ref);
	if (ref->off + queue_body_size(ref) > s->bytes)
		s->bytes = ref->off + queue_body_size(ref);
}

void
qcommit_freed(struct qcommit *c, const struct store_freed *f)
{
	struct store_segment *s;
	uint64_t size = queue_body_size(&f->ref);

	if (!f->message)
		return;
	if (f->ref.seg != 0) {
		s = segment_get(c, f->ref.seg);
		s->live -= s->live > 0;
		s->live_bytes -= s->live_bytes < size ? s->live_bytes : size;
		return;
	}
	if (c->n_big_freed == c->cap_big_freed) {
		c->cap_big_freed = c->cap_big_freed == 0 ? 16 : c->cap_big_freed * 2;
		c->big_freed = xreallocarray(c->big_freed, c->cap_big_freed, sizeof(*c->big_freed));
	}
	c->big_freed[c->n_big_freed++] = f->mid;
}

int
qcommit_segments_store(struct qcommit *c)
{
	for (size_t i = 0; i < c->n_segs; i++) {
		if (!c->seg_dirty[i])
			continue;
		if (c->segs[i].live == 0 && c->segs[i].seg != queue_body_current(c->body)) {
			if (queue_store_del_segment(c->store, c->segs[i].seg) == -1)
				return -1;
			continue; /* stays dirty: unlinked after the commit */
		}
		if (queue_store_put_segment(c->store, &c->segs[i]) == -1)
			return -1;
		c->seg_dirty[i] = false;
	}
	return 0;
}

void
qcommit_files_release(struct qcommit *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_segs; i++) {
		if (c->seg_dirty[i]) {
			queue_body_reader_drop(c->reader, c->segs[i].seg);
			(void)queue_body_release(c->body, c->segs[i].seg);
			continue;
		}
		c->segs[kept] = c->segs[i];
		c->seg_dirty[kept++] = false;
	}
	c->n_segs = kept;
	for (size_t i = 0; i < c->n_big_freed; i++)
		(void)queue_body_release_big(c->body, &c->big_freed[i]);
	c->n_big_freed = 0;
}

static int
load_one(void *arg, const struct store_segment *s)
{
	struct qcommit *c = arg;

	segments_reserve(c);
	c->segs[c->n_segs] = *s;
	/* emptied, but not removed any more: the next commit does it */
	c->seg_dirty[c->n_segs++] = s->live == 0;
	return 0;
}

int
qcommit_segments_load(struct qcommit *c)
{
	c->n_segs = c->n_big_freed = 0;
	return queue_store_each_segment(c->store, load_one, c);
}
