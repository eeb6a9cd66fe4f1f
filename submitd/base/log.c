/* SPDX-License-Identifier: ISC */
/*
 * The log: one line per event, as key=value or JSON from the same fields, to
 * stderr, files, syslog or the journal. Every process writes its own lines to
 * descriptors that the supervisor opened. Values from outside are escaped here and
 * nowhere else. Never blocks on a full disk: a line that cannot be written is lost
 * and counted.
 */
#include "base/log.h"
#include "base/enc.h"
#include "base/ev.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum target_kind {
	TARGET_STREAM = 0, /* stderr or a file: many lines in one write */
	TARGET_JOURNAL = 1,
	TARGET_SYSLOG = 2,
};
struct target {
	enum target_kind kind;
	int fd;
	int facility;
};

static struct target targets[LOG_MAX_TARGETS] = {{TARGET_STREAM, STDERR_FILENO, 0}};
static size_t n_targets = 1;
static bool json;
static enum log_level max_level = LOG_LEVEL_INFO;
static char role_text[64] = "";
static char role_json[96] = "";
static struct buf pending;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t loop_thread;
static bool loop_running;
static unsigned trace_topics;

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int syslog_levels[] = {3, 4, 6, 7};

static const char *const event_names[] = {
#define LOG_EVENT(id, name) name,
#define LOG_KEY(id, name)
#include "base/log_events.def"
#undef LOG_EVENT
#undef LOG_KEY
};
static const char *const key_names[] = {
#define LOG_EVENT(id, name)
#define LOG_KEY(id, name) name,
#include "base/log_events.def"
#undef LOG_EVENT
#undef LOG_KEY
};

bool
log_enabled(enum log_level level)
{
	return level <= max_level;
}

static void
add_time(struct buf *b)
{
	static __thread time_t cached = -1;
	static __thread char text[24];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != cached) {
		cached = ts.tv_sec;
		gmtime_r(&ts.tv_sec, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	}
	buf_addf(b, json ? "{\"time\":\"%s.%03ldZ\"" : "%s.%03ldZ", text, ts.tv_nsec / 1000000);
}

/* One line's memory is kept per thread: a busy process logs without malloc. */
static __thread struct buf spare;

void
log_begin(struct log_line *l, enum log_level level, enum log_event event)
{
	l->on = log_enabled(level);
	l->level = level;
	l->text = (struct buf)BUF_INIT;
	if (!l->on)
		return;
	l->text = spare;
	spare = (struct buf)BUF_INIT;
	buf_reset(&l->text);
	add_time(&l->text);
	if (json) {
		buf_addf(&l->text, ",\"level\":\"%s\"%s,\"event\":\"%s\"", level_names[level],
		    role_json, event_names[event]);
	} else {
		buf_add_str(&l->text, " level=");
		buf_add_str(&l->text, level_names[level]);
		buf_add_str(&l->text, role_text);
		buf_add_str(&l->text, " event=");
		buf_add_str(&l->text, event_names[event]);
	}
}

static void
add_key(struct log_line *l, enum log_key key)
{
	buf_add_str(&l->text, json ? ",\"" : " ");
	buf_add_str(&l->text, key_names[key]);
	buf_add_str(&l->text, json ? "\":" : "=");
}

static bool
is_plain(struct span s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '.' || c == '_' || c == ':' || c == '+' || c == '/' || c == '-'))
			return false;
	}
	return true;
}

static void
add_quoted(struct buf *b, struct span s)
{
	buf_add_byte(b, '"');
	while (s.n > 0) {
		unsigned char c = (unsigned char)s.p[0];
		size_t n = 1;
		if (c == '"' || c == '\\') {
			buf_add_byte(b, '\\');
			buf_add_byte(b, c);
		} else if (c >= 0x20 && c < 0x7f) {
			buf_add_byte(b, c);
		} else if (c >= 0x80 && (n = utf8_prefix(s)) > 0 &&
			   !(c == 0xc2 && (unsigned char)s.p[1] < 0xa0)) {
			buf_add(b, s.p, n); /* but not the C1 controls */
		} else {
			n = 1;
			buf_addf(b, "\\x%02x", c);
		}
		s.p += n;
		s.n -= n;
	}
	buf_add_byte(b, '"');
}

#define LOG_VALUE_MAX 2000u

void
log_span(struct log_line *l, enum log_key key, struct span s)
{
	if (!l->on)
		return;
	if (s.n > LOG_VALUE_MAX)
		s.n = LOG_VALUE_MAX;
	add_key(l, key);
	if (json)
		json_add_str(&l->text, s);
	else if (is_plain(s))
		buf_add_span(&l->text, s);
	else
		add_quoted(&l->text, s);
}

void
log_str(struct log_line *l, enum log_key key, const char *s)
{
	if (l->on && s != NULL)
		log_span(l, key, span_of(s));
}

void
log_u64(struct log_line *l, enum log_key key, uint64_t v)
{
	if (!l->on)
		return;
	add_key(l, key);
	buf_addf(&l->text, "%llu", (unsigned long long)v);
}

void
log_i64(struct log_line *l, enum log_key key, int64_t v)
{
	if (!l->on)
		return;
	add_key(l, key);
	buf_addf(&l->text, "%lld", (long long)v);
}

void
log_ip(struct log_line *l, enum log_key key, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT];

	if (!l->on)
		return;
	net_addr_format_ip(a, text);
	log_str(l, key, text);
}

void
log_addr(struct log_line *l, enum log_key key, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT];

	if (!l->on)
		return;
	net_addr_format(a, text);
	log_str(l, key, text);
}

static void
write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done == -1 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nowhere to say so: the line is lost */
		p += done;
		n -= (size_t)done;
	}
}

/* Lines for syslog and the journal carry their level; they leave one by one. */
static void
write_line(const struct target *t, enum log_level level, struct span line)
{
	char head[64];
	int pri =
	    t->kind == TARGET_SYSLOG ? t->facility | syslog_levels[level] : syslog_levels[level];

	if (t->kind == TARGET_SYSLOG)
		snprintf(head, sizeof(head), "<%d>submitd[%d]: ", pri, getpid());
	else
		snprintf(head, sizeof(head), "<%d>", pri);
	struct buf b = BUF_INIT;
	buf_add_str(&b, head);
	buf_add_span(&b, line);
	if (t->kind == TARGET_SYSLOG)
		(void)send(t->fd, buf_data(&b), buf_len(&b), MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		write_all(t->fd, buf_data(&b), buf_len(&b));
	buf_clear(&b);
}

static void
flush_locked(void)
{
	if (buf_len(&pending) == 0)
		return;
	for (size_t i = 0; i < n_targets; i++)
		if (targets[i].kind == TARGET_STREAM)
			write_all(targets[i].fd, buf_data(&pending), buf_len(&pending));
	if (pending.cap > 262144)
		buf_clear(&pending);
	else
		buf_reset(&pending);
}

void
log_flush(void)
{
	pthread_mutex_lock(&lock);
	flush_locked();
	pthread_mutex_unlock(&lock);
}

void
log_end(struct log_line *l)
{
	if (!l->on)
		return;
	buf_add_str(&l->text, json ? "}\n" : "\n");
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_targets; i++)
		if (targets[i].kind != TARGET_STREAM)
			write_line(&targets[i], l->level, buf_span(&l->text));
	buf_add_span(&pending, buf_span(&l->text));
	bool later = loop_running && pthread_equal(loop_thread, pthread_self()) &&
	             l->level != LOG_LEVEL_ERROR && buf_len(&pending) < 65536;
	if (!later)
		flush_locked();
	pthread_mutex_unlock(&lock);
	if (spare.mem == NULL)
		spare = l->text;
	else
		buf_clear(&l->text);
	l->text = (struct buf)BUF_INIT;
	l->on = false;
}

static void __attribute__((format(printf, 3, 0)))
note(enum log_level level, enum log_event event, const char *fmt, va_list ap)
{
	struct log_line l;
	struct buf text = BUF_INIT;

	log_begin(&l, level, event);
	if (!l.on)
		return;
	buf_vaddf(&text, fmt, ap);
	log_span(&l, LK_TEXT, buf_span(&text));
	buf_clear(&text);
	log_end(&l);
}

void
log_note(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(level, EV_NOTE, fmt, ap);
	va_end(ap);
}

void
log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(LOG_LEVEL_ERROR, EV_NOTE, fmt, ap);
	va_end(ap);
	log_flush();
	exit(1);
}

void
log_invariant(const char *expr, const char *file, int line)
{
	log_note(LOG_LEVEL_ERROR, "bug: %s:%d: %s does not hold", file, line, expr);
	log_flush();
	abort();
}

static const struct {
	const char *name;
	int value;
} facilities[] = {{"mail", LOG_MAIL}, {"daemon", LOG_DAEMON}, {"auth", LOG_AUTHPRIV},
    {"user", LOG_USER}, {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},
    {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},
    {"local7", LOG_LOCAL7}};

/* Fills kind and facility; the place to open is in *where. -1: not a target. */
static int
parse_target(const char *text, struct target *t, const char **where)
{
	*where = NULL;
	t->fd = -1;
	t->facility = 0;
	t->kind = TARGET_STREAM;
	if (strcmp(text, "stderr") == 0)
		return 0;
	if (strcmp(text, "journal") == 0) {
		t->kind = TARGET_JOURNAL;
		return 0;
	}
	if (strncmp(text, "file:", 5) == 0 && text[5] == '/') {
		*where = text + 5;
		return 0;
	}
	if (strncmp(text, "syslog", 6) == 0 && (text[6] == '\0' || text[6] == ':')) {
		t->kind = TARGET_SYSLOG;
		t->facility = LOG_MAIL;
		if (text[6] == '\0')
			return 0;
		for (size_t i = 0; i < sizeof(facilities) / sizeof(facilities[0]); i++)
			if (strcmp(text + 7, facilities[i].name) == 0) {
				t->facility = facilities[i].value;
				return 0;
			}
	}
	return -1;
}

static int
open_syslog(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1) {
		int saved = errno;
		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

static void
adopt(const struct log_options *o, const struct target *t, size_t n)
{
	pthread_mutex_lock(&lock);
	flush_locked();
	for (size_t i = 0; i < n_targets; i++)
		if (targets[i].fd > STDERR_FILENO)
			close(targets[i].fd);
	memcpy(targets, t, n * sizeof(*t));
	n_targets = n;
	json = o->json;
	max_level = o->level;
	if (trace_topics != 0)
		max_level = LOG_LEVEL_DEBUG;
	pthread_mutex_unlock(&lock);
}

int
log_open(const struct log_options *o, char *err, size_t errsize)
{
	struct target fresh[LOG_MAX_TARGETS];
	const char *where;
	size_t n = 0;

	for (; n < o->n_targets && n < LOG_MAX_TARGETS; n++) {
		struct target *t = &fresh[n];
		if (parse_target(o->targets[n], t, &where) == -1) {
			snprintf(err, errsize,
			    "log target \"%s\" is none of stderr, journal, "
			    "file:/path, syslog:facility",
			    o->targets[n]);
			goto fail;
		}
		if (t->kind == TARGET_SYSLOG)
			t->fd = open_syslog();
		else if (where != NULL)
			t->fd =
			    open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		else
			t->fd = STDERR_FILENO;
		if (t->fd == -1) {
			snprintf(err, errsize, "log target \"%s\" cannot be opened: %s",
			    o->targets[n], strerror(errno));
			goto fail;
		}
	}
	adopt(o, fresh, n);
	return 0;
fail:
	while (n-- > 0)
		if (fresh[n].fd > STDERR_FILENO)
			close(fresh[n].fd);
	return -1;
}

size_t
log_fds(int fds[LOG_MAX_TARGETS])
{
	for (size_t i = 0; i < n_targets; i++)
		fds[i] = targets[i].fd;
	return n_targets;
}

void
log_set_fds(const struct log_options *o, const int *fds, size_t n)
{
	struct target fresh[LOG_MAX_TARGETS];
	const char *where;

	for (size_t i = 0; i < n && i < o->n_targets && i < LOG_MAX_TARGETS; i++) {
		if (parse_target(o->targets[i], &fresh[i], &where) == -1)
			return;
		fresh[i].fd = fds[i];
	}
	adopt(o, fresh, n);
}

void
log_set_role(const char *role, unsigned instance)
{
	snprintf(role_text, sizeof(role_text), " role=%s.%u", role, instance);
	snprintf(role_json, sizeof(role_json), ",\"role\":\"%s.%u\"", role, instance);
}

void
log_set_loop(bool running)
{
	loop_thread = pthread_self();
	loop_running = running;
}

static const struct {
	const char *name;
	unsigned bits;
} topics[] = {{"smtp", TRACE_SMTP}, {"io", TRACE_IO}, {"ipc", TRACE_IPC}, {"auth", TRACE_AUTH},
    {"dns", TRACE_DNS}, {"policy", TRACE_POLICY}, {"queue", TRACE_QUEUE}, {"all", ~0u}};

int
log_trace_set(const char *list)
{
	struct span rest = span_of(list);
	unsigned bits = 0;

	while (rest.p != NULL) {
		struct span word = span_cut(&rest, ',');
		size_t i = 0;
		while (i < sizeof(topics) / sizeof(topics[0]) && !span_eq(word, topics[i].name))
			i++;
		if (i == sizeof(topics) / sizeof(topics[0]))
			return -1;
		bits |= topics[i].bits;
	}
	trace_topics = bits;
	max_level = LOG_LEVEL_DEBUG;
	return 0;
}

bool
log_tracing(enum log_topic topic)
{
	return (trace_topics & topic) != 0;
}

void
log_trace(enum log_topic topic, const char *fmt, ...)
{
	va_list ap;

	if (!log_tracing(topic))
		return;
	va_start(ap, fmt);
	note(LOG_LEVEL_DEBUG, EV_TRACE, fmt, ap);
	va_end(ap);
}
