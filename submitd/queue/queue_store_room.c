/* SPDX-License-Identifier: ISC */
/*
 * Room on disk that the rows have before they need it, so that what became of accepted
 * mail can be committed when the disk is full. A commit needs nothing but room in the log
 * and in the log's index; moving the log away needs room in the database. It is held inside
 * these files, because what is given up only when it is needed goes to whoever fills the
 * disk. Commit thread of process queue. No row is touched here.
 */
#include "queue/queue_store.h"

#include "base/db.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"
#include "queue/queue_store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#define LOG_INDEX_BYTES (512 << 10) /* 32 KiB for each 4096 pages: SQLite's file format */
#define LOG_HEAD 32u
#define LOG_FRAME (24u + PAGE_BYTES)
#define PAGE_BYTES 4096u
#define ROOM_BYTES (16u << 20) /* in the log; a quarter of it in the database */
#define ROOM_SHARE 16u         /* but not more than this part of a small file system */
#define LOOK_PAGES 64u         /* written to the log between two looks */

/*
 * Descriptors of our own, open as long as the database: closing any of them drops the locks
 * that SQLite holds on that file.
 */
static int
open_with(const char *path, const char *suffix)
{
	char *name = xasprintf("%s%s", path, suffix);
	int fd = fs_open(name, O_RDWR | O_NOFOLLOW, 0);

	free(name);
	return fd;
}

void
store_room_open(struct queue_store *s, const char *path)
{
	uint64_t bytes, inodes, total;

	s->index_fd = open_with(path, "-shm");
	s->log_fd = open_with(path, "-wal");
	s->db_fd = open_with(path, "");
	s->room = ROOM_BYTES;
	if (fs_space(s->log_fd, &bytes, &inodes, &total) == 0 && s->room > total / ROOM_SHARE)
		s->room = total / ROOM_SHARE;
	s->room = fs_fault_bound("SUBMITD_TEST_ROOM", s->room);
	s->room -= s->room % (4 * PAGE_BYTES);
	/*
	 * For a log of 65,000 pages, four times what is let gather. The pages of the index are
	 * mapped: on a full disk they would not even bear to be touched. Without this it grows
	 * as it must.
	 */
	if (s->index_fd != -1)
		(void)fs_fallocate(s->index_fd, 0, LOG_INDEX_BYTES);
}

void
store_room_close(struct queue_store *s)
{
	const int fds[] = {s->index_fd, s->log_fd, s->db_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] != -1)
			fs_close(fds[i]);
}

static uint64_t
bytes_used(struct queue_store *s)
{
	int pages;

	/* an error here will come again, where it is judged: with the next statement */
	if (db_number(s->db, "PRAGMA page_count", &pages) != SQLITE_OK || pages < 0)
		return 0;
	return (uint64_t)pages * PAGE_BYTES;
}

/*
 * A checkpoint makes the database as short as it can be, in whole pieces of the length that
 * is set here: without it the room would be gone. One piece is the file as it is; beyond
 * 2 GiB it cannot be, and the room is lost. A database that outgrew its piece would be made
 * twice as long: what the commit thread may add before another connection's checkpoint has
 * begun must find room.
 */
void
store_room_hold(struct queue_store *s, bool hold)
{
	uint64_t spare = s->db_fd == -1 ? LOOK_PAGES * PAGE_BYTES : 0;
	sqlite3_file *f = NULL;
	sqlite3_int64 size = 0;
	int piece = 0;

	s->room_seen = UINT_MAX;
	if (hold &&
	    sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK &&
	    f != NULL && f->pMethods != NULL && f->pMethods->xFileSize(f, &size) == SQLITE_OK &&
	    size <= INT_MAX && bytes_used(s) + spare <= (uint64_t)size)
		piece = (int)size;
	(void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_CHUNK_SIZE, &piece);
}

/* The file gets as long as that, and then a piece longer. SQLite goes by its own lengths. */
static int
grow(int fd, uint64_t want, uint64_t piece)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	if ((uint64_t)st.st_size >= want)
		return 0;
	return fs_fallocate(fd, st.st_size, (off_t)(want + piece) - st.st_size);
}

enum store_room
queue_store_keep_room(struct queue_store *s)
{
	uint64_t log_end = LOG_HEAD + (uint64_t)s->wal_pages * LOG_FRAME;

	if (s->room == 0)
		return STORE_ROOM_NONE;
	if (s->room_state == STORE_ROOM_STANDS && s->wal_pages >= s->room_seen &&
	    s->wal_pages - s->room_seen < LOOK_PAGES)
		return STORE_ROOM_STANDS;
	s->room_seen = s->wal_pages;
	if (grow(s->log_fd, log_end + s->room, s->room / 4) == 0 &&
	    grow(s->db_fd, bytes_used(s) + s->room / 4, s->room / 4) == 0)
		s->room_state = STORE_ROOM_STANDS;
	else if (errno == ENOSPC || errno == EDQUOT)
		s->room_state = STORE_ROOM_SHORT;
	else {
		s->room_state = STORE_ROOM_NONE; /* not on this file system */
		s->room = 0;
	}
	return s->room_state;
}
