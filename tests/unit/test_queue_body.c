/* SPDX-License-Identifier: ISC */
/*
 * S68, and "a corrupt spool file": segments and large files: what is written is read
 * back, damage is noticed, a scan finds everything else, a mail that looks like a
 * record is none.
 */
#include "queue/queue_body.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char dir[64];
static int dir_fd;
static struct queue_body *body;
static char err[200];

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/submitd-body-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	body = queue_body_open(dir_fd, err, sizeof(err));
	assert_non_null(body);
	return 0;
}

static int
teardown(void **state)
{
	char cmd[100];

	(void)state;
	queue_body_free(body);
	close(dir_fd);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static void
put(struct body_put *p, struct span head, struct span text)
{
	*p = (struct body_put){.qid = 7, .head = head, .body = text};
	uuid_make_v7(&p->mid);
	assert_int_equal(queue_body_put_batch(body, &p, 1), 0);
}

static void
test_round_trip(void **state)
{
	struct queue_body_reader *r = queue_body_reader_new(body);
	struct body_put p[20], *list[20];
	char texts[20][100];
	struct buf head = BUF_INIT, text = BUF_INIT;

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(texts[i], sizeof(texts[i]), "body number %d\r\n", i);
		p[i] = (struct body_put){
		    .qid = (uint64_t)i + 1, .head = span_of("head"), .body = span_of(texts[i])};
		uuid_make_v7(&p[i].mid);
		list[i] = &p[i];
	}
	p[3].body.n = 0; /* an empty one is a message too */
	assert_int_equal(queue_body_put_batch(body, list, 20), 0);
	for (int i = 0; i < 20; i++) {
		buf_reset(&head);
		buf_reset(&text);
		assert_int_equal(queue_body_read(r, &p[i].mid, &p[i].ref, &head, &text, 1000), 0);
		assert_string_equal(buf_cstr(&head), "head");
		assert_string_equal(buf_cstr(&text), i == 3 ? "" : texts[i]);
	}
	/* a part of it, without the head of another */
	buf_reset(&text);
	assert_int_equal(queue_body_read(r, &p[5].mid, &p[5].ref, &head, &text, 4), 0);
	assert_string_equal(buf_cstr(&text), "body");
	assert_int_equal(queue_body_read(r, &p[6].mid, &p[5].ref, &head, &text, 4), -1);
	assert_int_equal(errno, EBADMSG);
	/* gone */
	queue_body_reader_drop(r, 0);
	assert_int_equal(queue_body_release(body, p[0].ref.seg), 0);
	assert_int_equal(queue_body_read(r, &p[5].mid, &p[5].ref, &head, &text, 4), -1);
	assert_int_equal(errno, ENOENT);
	queue_body_reader_free(r);
	buf_clear(&head);
	buf_clear(&text);
}

static void
test_new_segment(void **state)
{
	struct body_put p;
	char *big = calloc(1, 1 << 20);

	(void)state;
	queue_body_set_last(body, 41);
	for (int i = 0; i < 70; i++)
		put(&p, span_of("h"), (struct span){big, 1 << 20});
	assert_int_equal(p.ref.seg, 43);
	assert_int_equal(queue_body_current(body), 43);
	assert_int_equal(queue_body_segment_number("00000043.log"), 43);
	assert_int_equal(queue_body_segment_number("43.log"), 0);
	assert_int_equal(queue_body_segment_number("00000043.log~"), 0);
	assert_int_equal(queue_body_segment_number("../00000043.log"), 0);
	free(big);
}

struct seen {
	unsigned good, bad;
	struct body_found last;
};

static void
on_found(void *arg, const struct body_found *f)
{
	struct seen *s = arg;

	s->good += !f->bad;
	s->bad += f->bad;
	if (!f->bad)
		s->last = *f;
}

static void
test_damage(void **state)
{
	struct queue_body_reader *r = queue_body_reader_new(body);
	struct buf head = BUF_INIT, text = BUF_INIT;
	struct body_put p[5];
	struct seen s = {0};
	char path[200];

	(void)state;
	for (int i = 0; i < 5; i++)
		put(&p[i], span_of("head"), span_of("some text of a mail\r\n"));
	assert_int_equal(queue_body_scan(body, p[0].ref.seg, on_found, &s), 0);
	assert_int_equal(s.good, 5);
	assert_int_equal(s.bad, 0);
	assert_true(uuid_equal(&s.last.mid, &p[4].mid));
	assert_int_equal(s.last.ref.off, p[4].ref.off);
	/* one octet of the body of the second, the header of the fourth */
	snprintf(path, sizeof(path), "%s/seg/%08llu.log", dir, (unsigned long long)p[0].ref.seg);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)p[1].ref.off + 64 + 4 + 3), 1);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)p[3].ref.off + 30), 1);
	close(fd);
	memset(&s, 0, sizeof(s));
	assert_int_equal(queue_body_scan(body, p[0].ref.seg, on_found, &s), 0);
	assert_int_equal(s.good, 3);
	assert_int_equal(s.bad, 2);
	assert_int_equal(queue_body_read(r, &p[1].mid, &p[1].ref, &head, &text, 1000), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(queue_body_read(r, &p[2].mid, &p[2].ref, &head, &text, 1000), 0);
	/* cut short */
	assert_int_equal(truncate(path, (off_t)p[4].ref.off + 70), 0);
	memset(&s, 0, sizeof(s));
	assert_int_equal(queue_body_scan(body, p[0].ref.seg, on_found, &s), 0);
	assert_int_equal(s.good, 2);
	queue_body_reader_free(r);
	buf_clear(&head);
	buf_clear(&text);
}

/* A mail that holds a whole record of another segment, behind a damaged record. */
static void
test_forged(void **state)
{
	struct body_put a, b;
	struct seen s = {0};
	char path[200], record[512];
	ssize_t n;

	(void)state;
	put(&a, span_of("head"), span_of("the forged mail\r\n"));
	snprintf(path, sizeof(path), "%s/seg/%08llu.log", dir, (unsigned long long)a.ref.seg);
	int fd = open(path, O_RDONLY);
	n = pread(fd, record, sizeof(record), (off_t)a.ref.off);
	close(fd);
	assert_true(n > 64);
	/* another segment has another key */
	queue_body_free(body);
	body = queue_body_open(dir_fd, err, sizeof(err));
	queue_body_set_last(body, a.ref.seg);
	put(&b, span_of("head"), (struct span){record, (size_t)n});
	snprintf(path, sizeof(path), "%s/seg/%08llu.log", dir, (unsigned long long)b.ref.seg);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)b.ref.off + 20), 1);
	close(fd);
	assert_int_equal(queue_body_scan(body, b.ref.seg, on_found, &s), 0);
	assert_int_equal(s.good, 0);
	assert_true(s.bad >= 1);
}

static void
test_big(void **state)
{
	struct queue_body_reader *r = queue_body_reader_new(body);
	struct buf head = BUF_INIT, text = BUF_INIT;
	struct body_put p = {.qid = 9, .head = span_of("head")};
	struct seen s = {0};
	char name[UUID_TEXT];

	(void)state;
	uuid_make_v7(&p.mid);
	uuid_format(&p.mid, name);
	int fd = queue_body_big_create(body, &p.mid);
	assert_int_equal(write(fd, "0123456789and more", 18), 18);
	assert_int_equal(queue_body_big_create(body, &p.mid), -1);
	assert_int_equal(queue_body_big_seal(body, &p, 100), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(queue_body_scan_big(body, name, on_found, &s), -1);
	/* what the front wrote beyond the end does not count */
	assert_int_equal(queue_body_big_seal(body, &p, 10), 0);
	assert_int_equal(queue_body_scan_big(body, name, on_found, &s), 0);
	assert_int_equal(s.good, 1);
	assert_int_equal(s.last.qid, 9);
	assert_int_equal(queue_body_read(r, &p.mid, &s.last.ref, &head, &text, 100), 0);
	assert_string_equal(buf_cstr(&head), "head");
	assert_string_equal(buf_cstr(&text), "0123456789");
	assert_int_equal(queue_body_big_age(body, name, 0), 0);
	assert_int_equal(queue_body_release_big(body, &p.mid), 0);
	assert_int_equal(queue_body_big_age(body, name, 0), -1);
	close(fd);
	queue_body_reader_free(r);
	buf_clear(&head);
	buf_clear(&text);
}

static unsigned
n_segments(void)
{
	char path[100];
	struct dirent *e;
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/seg", dir);
	DIR *d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
count_found(void *arg, const struct body_found *f)
{
	unsigned *n = arg;

	assert_false(f->bad);
	(*n)++;
}

/* Promise 1: what was refused leaves nothing that a rebuild would find, and takes no room. */
static void
test_take_back(void **state)
{
	struct buf big = BUF_INIT, head = BUF_INIT, text = BUF_INIT;
	struct queue_body_reader *r = queue_body_reader_new(body);
	struct rlimit old, small;
	struct body_put p[3], *one = &p[2];
	unsigned n = 0;

	(void)state;
	memset(buf_reserve(&big, 20000), 'x', 20000);
	buf_commit(&big, 20000);
	/* the first batch of a segment, and a later one */
	put(&p[0], span_of("head"), buf_span(&big));
	assert_int_equal(queue_body_take_back(body), 0);
	put(&p[0], span_of("head"), span_of("kept"));
	assert_int_equal(p[0].ref.off, QUEUE_BODY_SEGMENT_HEAD);
	put(&p[1], span_of("head"), buf_span(&big));
	assert_int_equal(queue_body_take_back(body), 0);
	put(&p[2], span_of("head"), span_of("too"));
	assert_int_equal(p[2].ref.off, p[1].ref.off);
	assert_int_equal(queue_body_scan(body, p[0].ref.seg, count_found, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(queue_body_read(r, &p[0].mid, &p[0].ref, &head, &text, 100), 0);
	assert_string_equal(buf_cstr(&text), "kept");
	queue_body_reader_free(r);
	/* a new segment with room for its head only does not stay */
	queue_body_free(body);
	body = queue_body_open(dir_fd, err, sizeof(err));
	queue_body_set_last(body, p[0].ref.seg);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 3; i++) {
		p[2].body = buf_span(&big);
		assert_int_equal(queue_body_put_batch(body, &one, 1), -1);
		assert_int_equal(n_segments(), 1);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	put(&p[2], span_of("head"), buf_span(&big));
	assert_int_equal(n_segments(), 2);
	buf_clear(&big);
	buf_clear(&head);
	buf_clear(&text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_round_trip),
	    TEST(test_new_segment),
	    TEST(test_damage),
	    TEST(test_forged),
	    TEST(test_big),
	    TEST(test_take_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
