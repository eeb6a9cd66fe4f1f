/* SPDX-License-Identifier: ISC */
/*
 * Records of the audit as searches and reports see them: does one match, who was it,
 * from where, and in words for people. Pure; whatever a file holds comes through here.
 */
#include "ctl/ctl_audit.h"

#include "base/str.h"
#include "mail/addr.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ---- matching -------------------------------------------------------------------------------- */

int
ctl_audit_time(const char *s, char out[32])
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	int64_t seconds;
	time_t t;
	struct tm tm;
	size_t n = strlen(s);

	if (ctl_parse_age(s, &seconds) == 0) {
		t = time(NULL) - (time_t)seconds;
		if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
			return -1;
		return 0;
	}
	if (n < 4 || n > sizeof(form) - 1)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return -1;
	return str_copy(out, 32, s);
}

static bool
contains_nocase(struct span s, const char *what)
{
	size_t n = strlen(what);

	for (; s.n >= n; s.p++, s.n--)
		if (span_starts_nocase(s, what))
			return true;
	return false;
}

static bool
is_user(const json_t *o, const char *user)
{
	static const char *const keys[] = {"principal", "login", "authzid"};
	const json_t *data = json_object_get(o, "data");
	const char *by = json_string_value(json_object_get(data, "user"));

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *v = json_string_value(json_object_get(o, keys[i]));

		if (v == NULL && data != NULL)
			v = json_string_value(json_object_get(data, keys[i]));
		if (v != NULL && addr_user_same(span_of(v), span_of(user)))
			return true;
	}
	/* an operator: "alice (uid 0)" */
	return by != NULL && span_starts_nocase(span_of(by), user) &&
	       (by[strlen(user)] == '\0' || by[strlen(user)] == ' ' || by[strlen(user)] == ',');
}

static bool
is_failure(const json_t *o)
{
	const char *verdict = json_string_value(json_object_get(o, "verdict"));
	const char *kind = ctl_text(o, "kind");

	return (verdict != NULL && strcmp(verdict, "ok") != 0) || strcmp(kind, "relay") == 0 ||
	       strcmp(kind, "refused") == 0 || strcmp(kind, "gap") == 0 ||
	       strcmp(kind, "died") == 0;
}

static bool
is_from(const json_t *o, const struct net_cidr *net)
{
	const char *client = json_string_value(json_object_get(o, "client"));
	struct net_addr a;

	if (client == NULL)
		client = json_string_value(json_object_get(json_object_get(o, "data"), "client"));
	return client != NULL && net_addr_parse(span_of(client), &a) == 0 &&
	       net_cidr_match(net, &a);
}

static int
span_compare(struct span s, const char *text)
{
	size_t n = strlen(text) < s.n ? strlen(text) : s.n;

	return memcmp(s.p, text, n);
}

json_t *
ctl_audit_match(const struct ctl_audit_query *q, struct span line)
{
	struct audit_line l;
	json_t *o;

	if (audit_line_parse(line, &l) == -1) {
		if (q->strange != NULL)
			(*q->strange)++;
		return NULL;
	}
	if ((q->since[0] != '\0' && span_compare(l.time, q->since) < 0) ||
	    (q->until[0] != '\0' && span_compare(l.time, q->until) > 0) ||
	    (q->kind != NULL && !span_eq(l.kind, q->kind)) ||
	    (q->text != NULL && !contains_nocase(l.body, q->text)) ||
	    (q->mid != NULL && !contains_nocase(l.members, q->mid)))
		return NULL;
	o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o) || (q->user != NULL && !is_user(o, q->user)) ||
	    (q->has_net && !is_from(o, &q->net)) || (q->failed && !is_failure(o))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

void
ctl_audit_tell_strange(uint64_t lines)
{
	if (lines > 0)
		ctl_error("%" PRIu64 " line%s no record, and left out: submitctl audit verify says "
			  "where, and why",
		    lines, lines == 1 ? " is" : "s are");
}

const char *
ctl_audit_who(const json_t *o)
{
	const char *who = json_string_value(json_object_get(o, "principal"));

	return who != NULL ? who : json_string_value(json_object_get(o, "login"));
}

void
ctl_audit_network(const char *client, char out[NET_ADDR_TEXT])
{
	struct net_addr a;
	char text[NET_ADDR_TEXT];

	out[0] = '\0';
	if (client == NULL || net_addr_parse(span_of(client), &a) == -1)
		return;
	a = net_addr_network(&a);
	net_addr_format_ip(&a, text);
	(void)str_printf(out, NET_ADDR_TEXT, "%.50s/%d", text, a.family == 4 ? 24 : 64);
}

/* ---- printing -------------------------------------------------------------------------------- */

/* A text with blanks is quoted, so that its end is seen; for people only, --json is exact. */
static void
format_value(struct buf *out, const char *name, const char *value)
{
	bool quoted = value[0] == '\0' || strpbrk(value, " \t\"") != NULL;

	buf_addf(out, quoted ? " %s=\"" : " %s=", name);
	for (; *value != '\0'; value++)
		buf_addf(out, quoted && (*value == '"' || *value == '\\') ? "\\%c" : "%c", *value);
	if (quoted)
		buf_add_str(out, "\"");
}

static void
format_members(const json_t *o, struct buf *out)
{
	static const char *const left_out[] = {"seq", "time", "kind", "hash", "src", "n",
	    "prev_hash", "upto_hash", "torn_hash", "last"};
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, name, v)
	{
		bool skip = false;

		for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
			skip = skip || strcmp(name, left_out[i]) == 0;
		if (skip)
			continue;
		if (json_is_object(v))
			format_members(v, out);
		else
			format_value(out, name, ctl_text(o, name));
	}
}

void
ctl_audit_format(const json_t *o, struct buf *out)
{
	buf_addf(out, "%s %-10s", ctl_text(o, "time"), ctl_text(o, "kind"));
	format_members(o, out);
}
