/* SPDX-License-Identifier: ISC */
/*
 * Small things that every command of submitctl needs: messages, ages, times, the
 * terminal, the configuration. Whatever comes from a message or a remote server is
 * printed without control characters, so that no mail can drive the terminal.
 */
#include "ctl/ctl.h"

#include "base/buf.h"
#include "base/str.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void
print_clean(const char *s, bool lines, FILE *f)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '\t')
			(void)fputc(' ', f); /* a folded header line */
		else if (c == '\n' && lines)
			(void)fputc(c, f);
		else if (c < 0x20 || c == 0x7f)
			(void)fputc('?', f);
		else if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0) {
			(void)fputc('?', f); /* C1 control characters */
			s++;
		} else
			(void)fputc(c, f);
	}
}

void
ctl_error(const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	(void)fflush(stdout);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fputs("submitctl: ", stderr);
	print_clean(text, true, stderr);
	(void)fputc('\n', stderr);
}

struct conf *
ctl_conf_load(const struct ctl *ctl, bool quiet)
{
	const char *path = ctl->conf_path == NULL ? CTL_DEFAULT_CONF : ctl->conf_path;
	struct conf_findings f = {0};
	struct buf line = BUF_INIT;
	struct buf raw = BUF_INIT;
	struct conf *c = NULL;

	/* no look at keys and secrets: who asks may not be able to read them */
	if (conf_parse_file(path, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	buf_clear(&raw);
	for (size_t i = 0; c == NULL && !quiet && i < f.n; i++) {
		if (!f.v[i].error)
			continue;
		buf_reset(&line);
		conf_finding_format(&f.v[i], &line);
		(void)fprintf(stderr, "%s\n", buf_cstr(&line));
	}
	conf_findings_clear(&f);
	buf_clear(&line);
	return c;
}

int
ctl_parse_age(const char *s, int64_t *out)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	size_t n = strlen(s);
	uint64_t v;

	for (size_t i = 0; n > 1 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (s[n - 1] != units[i].unit)
			continue;
		if (span_to_u64((struct span){s, n - 1}, 0, 100000000, &v) == -1)
			return -1;
		*out = (int64_t)v * units[i].seconds;
		return 0;
	}
	return -1;
}

const char *
ctl_format_age(int64_t s, char out[CTL_AGE_TEXT])
{
	if (s < 0)
		s = 0;
	if (s < 60)
		(void)snprintf(out, CTL_AGE_TEXT, "%llds", (long long)s);
	else if (s < 3600)
		(void)snprintf(out, CTL_AGE_TEXT, "%lldm", (long long)(s / 60));
	else if (s < 86400)
		(void)snprintf(out, CTL_AGE_TEXT, "%lldh%02lldm", (long long)(s / 3600),
		    (long long)(s / 60 % 60));
	else
		(void)snprintf(out, CTL_AGE_TEXT, "%lldd%02lldh", (long long)(s / 86400),
		    (long long)(s / 3600 % 24));
	return out;
}

const char *
ctl_format_time(int64_t seconds, char out[CTL_AGE_TEXT])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL || strftime(out, CTL_AGE_TEXT, "%F %T", &tm) == 0)
		(void)snprintf(out, CTL_AGE_TEXT, "%lld", (long long)seconds);
	return out;
}

/* Number members are formatted into one of a few slots, enough for one row of a table. */
const char *
ctl_text(const json_t *row, const char *key)
{
	static char slots[16][32];
	static size_t next;
	const json_t *v = json_object_get(row, key);
	char *slot;

	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "yes" : "no";
	if (!json_is_number(v))
		return "";
	slot = slots[next++ % 16];
	if (json_is_integer(v))
		(void)snprintf(slot, sizeof(slots[0]), "%lld", (long long)json_integer_value(v));
	else
		(void)snprintf(slot, sizeof(slots[0]), "%g", json_real_value(v));
	return slot;
}

int64_t
ctl_int(const json_t *row, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(row, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

void
ctl_print_json(const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text != NULL)
		(void)puts(text);
	free(text);
}

void
ctl_print_clean(const char *s)
{
	print_clean(s, false, stdout);
}

bool
ctl_is_tty(void)
{
	return isatty(STDOUT_FILENO) == 1;
}

bool
ctl_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return ctl_is_tty() && (no == NULL || no[0] == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

int
ctl_columns(void)
{
	struct winsize w;

	if (!ctl_is_tty() || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == -1 || w.ws_col < 20)
		return 0;
	return w.ws_col;
}

const char *
ctl_user(void)
{
	static char text[100];
	const struct passwd *pw = getpwuid(getuid());
	const char *sudo = getenv("SUDO_USER");
	char name[40];

	(void)snprintf(name, sizeof(name), "%s", pw == NULL ? "" : pw->pw_name);
	if (sudo != NULL && sudo[0] != '\0' && !str_has_control(span_of(sudo)))
		(void)snprintf(text, sizeof(text), "%s, sudo by %.40s", name, sudo);
	else
		(void)snprintf(text, sizeof(text), "%s", name);
	return text;
}
