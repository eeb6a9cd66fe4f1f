/* SPDX-License-Identifier: ISC */
/*
 * Backend "file": lines of a name and a hash (S44). The file is read when the
 * process starts, and again when it has changed: the supervisor opens it, a worker
 * reads and indexes it, the loop swaps the tables, so that there is no moment
 * without one. Process auth. A file that is gone or unreadable never empties the
 * table that is in use.
 */
#include "authbackends/auth_worker.h"
#include "authbackends/authbackend.h"
#include "authbackends/passwd_table.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/saslprep.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_AGAIN_MS 30000  /* the supervisor owes an answer */
#define UNFINISHED_MS 10000 /* somebody seems to be writing */
#define RESTLESS_MS 3000    /* it is replaced again and again */
#define LOAD_MAX_MS 600000

/* What tells one content of the file from another. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime; /* the second cannot be set back */
};

struct file {
	char *path, *title;
	bool allow_plain;
	struct passwd_table *table; /* used by the loop only */
	uint64_t changes;           /* tables that were swapped */
	struct stamp loaded;        /* the content of table */
	struct stamp seen;          /* at the last look */
	int64_t seen_ms;            /* when it looked so first */
	int64_t changed_ms;         /* since when it is not what was loaded; 0: it is */
	int64_t asked_ms;           /* 0: no answer is due */
	bool loading;
	int error; /* of the last attempt, so that it is logged once */
	struct auth_pool *loader;
};

struct load_job {
	struct auth_job job; /* first */
	struct file *file;
	int fd;
	struct stamp stamp;
	struct passwd_table *table; /* NULL: error */
	int error;
};

static bool
stamp_get(int fd, struct stamp *out)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return false;
	}
	memset(out, 0, sizeof(*out));
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	out->size = st.st_size;
	out->mtime = st.st_mtim;
	out->ctime = st.st_ctim;
	return true;
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* Of one open file: its change time moves when another file takes its name, too. */
static bool
same_content(const struct stamp *a, const struct stamp *b)
{
	return same_file(a, b) && a->size == b->size && same_time(&a->mtime, &b->mtime);
}

static bool
stamp_same(const struct stamp *a, const struct stamp *b)
{
	return same_content(a, b) && same_time(&a->ctime, &b->ctime);
}

/*
 * All of it, from the start: another backend that names the file has a copy of the same
 * descriptor, and reads at the same time. In one piece: growing leaves passwords behind.
 */
static int
read_all(int fd, struct buf *out)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return -1;
	if (st.st_size > (off_t)PASSWD_TABLE_MAX_BYTES) {
		errno = EFBIG;
		return -1;
	}
	/* less when it was cut meanwhile: the next look takes it */
	n = fs_pread(fd, buf_reserve(out, (size_t)st.st_size + 1), (size_t)st.st_size, 0);
	if (n == -1)
		return -1;
	buf_commit(out, (size_t)n);
	return 0;
}

/* NULL with errno. */
static struct passwd_table *
load_fd(int fd, bool allow_plain)
{
	struct buf text = BUF_INIT;

	if (read_all(fd, &text) == -1) {
		int error = errno;

		buf_wipe(&text);
		errno = error;
		return NULL;
	}
	return passwd_table_parse(&text, allow_plain);
}

static void
log_table(const struct file *f, const char *what)
{
	size_t n, total, i;
	const struct passwd_finding *v = passwd_table_findings(f->table, &n, &total);
	struct log_line l;

	for (i = 0; i < n; i++) {
		log_begin(&l, LOG_LEVEL_WARN, EV_BACKEND);
		log_str(&l, LK_BACKEND_NAME, f->title);
		log_str(&l, LK_FILE, f->path);
		log_u64(&l, LK_LINE, v[i].line);
		log_str(&l, LK_TEXT, v[i].text);
		log_end(&l);
	}
	log_begin(&l, total > 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_BACKEND);
	log_str(&l, LK_BACKEND_NAME, f->title);
	log_str(&l, LK_FILE, f->path);
	log_str(&l, LK_STATE, what);
	log_u64(&l, LK_COUNT, passwd_table_count(f->table));
	if (total > 0)
		log_u64(&l, LK_ERRORS, total); /* lines that were skipped */
	log_end(&l);
}

/* Once per kind of trouble: the table that is in use stays. */
static void
log_trouble(struct file *f, int error)
{
	struct log_line l;

	if (f->error == error)
		return;
	f->error = error;
	log_begin(&l, LOG_LEVEL_ERROR, EV_BACKEND);
	log_str(&l, LK_BACKEND_NAME, f->title);
	log_str(&l, LK_FILE, f->path);
	log_str(&l, LK_STATE, "kept");
	log_str(&l, LK_TEXT, strerror(error));
	log_end(&l);
}

static void
file_close(void *self)
{
	struct file *f = self;

	if (f == NULL)
		return;
	auth_pool_free(f->loader);
	passwd_table_free(f->table);
	free(f->path);
	free(f->title);
	free(f);
}

static int
file_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	struct file *f = xcallocarray(1, sizeof(*f));
	int fd = -1, result = -1;

	(void)conf;
	f->path = xstrdup(block->path);
	f->title = xstrdup(block->title);
	f->allow_plain = block->allow_plain;
	if (f->path == NULL) {
		(void)str_printf(err, errsize, "backend \"%s\": path is missing", f->title);
		goto out;
	}
	/* not to hang on a FIFO */
	fd = fs_open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd == -1 || !stamp_get(fd, &f->loaded) ||
	    (f->table = load_fd(fd, f->allow_plain)) == NULL) {
		(void)str_printf(err, errsize, "backend \"%s\": cannot read %s: %s", f->title,
		    f->path, strerror(errno));
		goto out;
	}
	f->seen = f->loaded;
	log_table(f, "loaded");
	*self = f;
	result = 0;
out:
	if (fd != -1)
		fs_close(fd);
	if (result == -1)
		file_close(f);
	return result;
}

/* A password in clear; what was sent is in the form that SASLprep gives it. */
static bool
same_plain(struct span entry, const struct secret *password)
{
	struct secret s = {NULL, 0};
	bool same;

	secret_set(&s, entry.p, entry.n);
	/* length is no secret worth more than the entry's own line */
	same = saslprep_secret(&s, AUTH_PASSWORD_MAX) == 0 && secret_equal(&s, password);
	secret_clear(&s);
	return same;
}

static bool
file_look(void *self, struct auth_check *c, enum verdict *v)
{
	struct file *f = self;
	struct passwd_entry e;

	if (c->dummy[0] == '\0')
		(void)str_copy(c->dummy, sizeof(c->dummy), passwd_table_dummy(f->table));
	*v = V_NEXT;
	if (!passwd_table_find(f->table, span_of(c->login), &e) &&
	    (c->address[0] == '\0' || !passwd_table_find(f->table, span_of(c->address), &e)))
		return true;
	(void)str_copy_span(c->name, sizeof(c->name), e.name);
	*v = V_PERM;
	switch (e.kind) {
	case ENTRY_HASH:
		if (str_copy_span(c->hash, sizeof(c->hash), e.secret) == 0)
			return false;
		*v = V_TEMP;
		return true;
	case ENTRY_PLAIN:
		if (same_plain(e.secret, &c->password))
			*v = V_OK;
		else
			(void)str_copy(c->reason, sizeof(c->reason), "wrong password");
		return true;
	case ENTRY_LOCKED:
		(void)str_copy(c->reason, sizeof(c->reason), "the user is locked in the file");
		return true;
	}
	return true;
}

/* A line without keys is a user all the same: he cannot log in by SCRAM. */
static enum verdict
file_scram(void *self, struct auth_check *c)
{
	struct file *f = self;
	struct passwd_entry e;
	enum passwd_kind kind;

	if (!passwd_table_find(f->table, span_of(c->login), &e) &&
	    (c->address[0] == '\0' || !passwd_table_find(f->table, span_of(c->address), &e)))
		return V_NEXT;
	(void)str_copy_span(c->name, sizeof(c->name), e.name);
	if (e.kind == ENTRY_LOCKED) {
		(void)str_copy(c->reason, sizeof(c->reason), "the user is locked in the file");
		return V_PERM;
	}
	if (e.kind != ENTRY_HASH || passwd_hash_check(e.secret, &kind) != NULL ||
	    kind != PASSWD_SCRAM_SHA256) {
		(void)str_copy(c->reason, sizeof(c->reason), "the user has no SCRAM keys");
		return V_PERM;
	}
	return str_copy_span(c->hash, sizeof(c->hash), e.secret) == 0 ? V_OK : V_TEMP;
}

static const char *
file_scram_like(const void *self)
{
	const struct file *f = self;

	return passwd_table_scram_like(f->table);
}

static void
load_work(struct auth_job *job)
{
	struct load_job *j = (struct load_job *)job;

	j->table = load_fd(j->fd, j->file->allow_plain);
	j->error = j->table == NULL ? errno : 0;
}

static void
load_done(struct auth_job *job)
{
	struct load_job *j = (struct load_job *)job;
	struct file *f = j->file;
	struct stamp now;
	struct passwd_table *old = f->table;

	f->loading = false;
	if (j->table == NULL) {
		log_trouble(f, j->error != 0 ? j->error : EAGAIN);
	} else if (!stamp_get(j->fd, &now) || !same_content(&now, &j->stamp)) {
		/* written to while it was read: what was read may be torn; the next look takes it
		 */
		passwd_table_free(j->table);
	} else {
		f->table = j->table;
		f->changes++;
		f->loaded = j->stamp;
		f->changed_ms = 0;
		f->error = 0;
		passwd_table_free(old);
		log_table(f, "reloaded");
	}
	close(j->fd);
	free(j);
}

/*
 * Whether somebody is likely to be in the middle of writing: it is empty or ends within a line.
 * Whoever writes it anew, in place or after removing it, begins with nothing, and what makes the
 * lines may take its time; until then the users must not be gone (S44: without a gap).
 */
static bool
looks_unfinished(int fd, const struct stamp *now)
{
	char last;

	return now->size == 0 || fs_pread(fd, &last, 1, now->size - 1) != 1 || last != '\n';
}

/*
 * Whether what is there now is to be read. Half written files are common: it must look the same
 * twice. But one that is another file each time was made elsewhere, and is whole: whoever changes
 * users one by one, each with a new file, is not waited for to the end.
 */
static bool
is_ripe(struct file *f, int fd, const struct stamp *now)
{
	bool replaced = !same_file(now, &f->seen) && !same_file(now, &f->loaded);
	bool unfinished = looks_unfinished(fd, now);
	int64_t ms = auth_clock_ms();

	if (f->changed_ms == 0)
		f->changed_ms = ms;
	if (!stamp_same(now, &f->seen)) {
		f->seen = *now;
		f->seen_ms = ms;
		return replaced && !unfinished && ms - f->changed_ms >= RESTLESS_MS;
	}
	return !unfinished || ms - f->seen_ms >= UNFINISHED_MS;
}

static bool
file_on_file(void *self, const char *path, int fd, int error)
{
	struct file *f = self;
	struct stamp now;
	struct load_job *j;

	if (strcmp(path, f->path) != 0)
		return false;
	f->asked_ms = 0;
	if (fd == -1 || !stamp_get(fd, &now)) {
		log_trouble(f, fd == -1 ? error : errno);
		goto out;
	}
	if (stamp_same(&now, &f->loaded)) {
		f->error = 0;
		f->changed_ms = 0;
		f->seen = now;
		goto out;
	}
	if (!is_ripe(f, fd, &now) || f->loading)
		goto out;
	if (f->loader == NULL)
		f->loader = auth_pool_new(1, 1);
	j = xcallocarray(1, sizeof(*j));
	j->job.work = load_work;
	j->job.done = load_done;
	j->job.deadline_ms = auth_clock_ms() + LOAD_MAX_MS;
	j->file = f;
	j->fd = fd;
	j->stamp = now;
	if (auth_pool_submit(f->loader, &j->job) == -1) {
		free(j);
		goto out;
	}
	f->loading = true;
	return true;
out:
	if (fd != -1)
		close(fd);
	return true;
}

static void
file_tick(void *self, void (*want_file)(const char *path))
{
	struct file *f = self;
	int64_t now = auth_clock_ms();

	if (f->loading || (f->asked_ms != 0 && now - f->asked_ms < ASK_AGAIN_MS))
		return;
	f->asked_ms = now;
	want_file(f->path);
}

static uint64_t
file_changes(const void *self)
{
	const struct file *f = self;

	return f->changes;
}

const struct authbackend authbackend_file = {
    .name = "file",
    .knows_users = true,
    .cpu_bound = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .open = file_open,
    .look = file_look,
    .check = auth_check_hash,
    .scram = file_scram,
    .scram_like = file_scram_like,
    .close = file_close,
    .tick = file_tick,
    .changes = file_changes,
    .on_file = file_on_file,
};
