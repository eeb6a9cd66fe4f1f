/* SPDX-License-Identifier: ISC */
/*
 * The header block of a message: what it holds, and the fix-ups of a submission
 * server (RFC 6409, 8; P5). Pure; run by the front on every message, by the queue
 * for lists. It must never change a field that it has no business with, and
 * never write a line that could be taken for the end of the header.
 */
#include "mail/header.h"
#include "base/list.h"
#include "base/str.h"
#include "mail/header_list.h"

#include <stddef.h>
#include <string.h>

#define LINE_MAX_OCTETS 998u

struct field {
	struct span name;  /* without blanks before the colon */
	struct span value; /* trimmed, folded as it came */
	size_t begin, end; /* of all its lines, CRLF included */
};

/* RFC 5322, 3.6.8: printable ASCII but the colon; 4.5.3: blanks before it. 0: no field. */
static size_t
name_length(struct span line, size_t *colon)
{
	size_t n = 0, i;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	for (i = n; i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'); i++)
		;
	if (n == 0 || i >= line.n || line.p[i] != ':')
		return 0;
	*colon = i;
	return n;
}

static size_t
line_end(struct span block, size_t from)
{
	const char *lf = memchr(block.p + from, '\n', block.n - from);

	return lf == NULL ? block.n : (size_t)(lf - block.p) + 1;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL && s.p[0] != '\0') {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL && s.p[s.n - 1] != '\0')
		s.n--;
	return s;
}

/* The field at f->end, which is moved. 1: there is one, 0: the end, -1: no field. */
static int
next_field(struct span block, struct field *f)
{
	struct span line;
	size_t colon, n;

	f->begin = f->end;
	if (f->begin >= block.n)
		return 0;
	f->end = line_end(block, f->begin);
	line = (struct span){block.p + f->begin, f->end - f->begin};
	n = name_length(line, &colon);
	if (n == 0)
		return -1;
	while (f->end < block.n && (block.p[f->end] == ' ' || block.p[f->end] == '\t'))
		f->end = line_end(block, f->end);
	f->name = (struct span){line.p, n};
	f->value = trim((struct span){line.p + colon + 1, f->end - f->begin - colon - 1});
	return 1;
}

static void
scan_from(struct header_info *h, struct span value)
{
	struct header_list l;
	struct addr a;
	size_t end;
	unsigned before = h->n_from;

	header_list_init(&l, value);
	for (;;) {
		enum header_list_item item = header_list_next(&l, &a, &end);

		if (item == HEADER_LIST_END)
			break;
		if (item == HEADER_LIST_BAD || h->n_from == HEADER_MAX_FROM) {
			h->from_unparsable = true;
			return;
		}
		h->from[h->n_from++] = a;
	}
	/* A field without any address says nothing that a rule could check. */
	if (h->n_from == before)
		h->from_unparsable = true;
}

static void
note_first(struct span *where, struct span value)
{
	if (where->p == NULL)
		*where = value;
}

static void
scan_field(struct header_info *h, const struct field *f)
{
	switch (f->name.n) {
	case 2:
		h->has_to = h->has_to || span_eq_nocase(f->name, "To");
		break;
	case 3:
		h->has_bcc = h->has_bcc || span_eq_nocase(f->name, "Bcc");
		break;
	case 4:
		if (span_eq_nocase(f->name, "From")) {
			h->has_from = true;
			note_first(&h->from_text, f->value);
			scan_from(h, f->value);
		} else if (span_eq_nocase(f->name, "Date"))
			h->has_date = true;
		break;
	case 6:
		if (span_eq_nocase(f->name, "Sender")) {
			h->has_sender = true;
			scan_from(h, f->value);
		}
		break;
	case 7:
		if (span_eq_nocase(f->name, "Subject"))
			note_first(&h->subject, f->value);
		break;
	case 8:
		if (span_eq_nocase(f->name, "Received"))
			h->received++;
		break;
	case 10:
		if (span_eq_nocase(f->name, "Message-ID")) {
			h->has_message_id = true;
			note_first(&h->message_id, f->value);
		} else if (span_eq_nocase(f->name, "Resent-Bcc"))
			h->has_bcc = true;
		break;
	default:
		break;
	}
}

void
header_scan(struct span block, struct header_info *h)
{
	struct field f = {.end = 0};
	int rc;

	memset(h, 0, sizeof(*h));
	while ((rc = next_field(block, &f)) == 1)
		scan_field(h, &f);
	h->malformed = rc == -1;
	h->valid_bytes = h->malformed ? f.begin : block.n;
	h->has_8bit = !str_is_ascii((struct span){block.p, h->valid_bytes});
}

struct span
header_find(struct span block, const char *name)
{
	struct field f = {.end = 0};

	while (next_field(block, &f) == 1)
		if (span_eq_nocase(f.name, name))
			return f.value;
	return (struct span){NULL, 0};
}

static bool
is_completed(struct span name)
{
	static const char *const names[] = {"From", "Sender", "Reply-To", "To", "Cc"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (span_eq_nocase(name, names[i]))
			return true;
	return false;
}

/* Would the line around p still be one that may be sent with n octets more? */
static bool
line_has_room(struct span lines, const char *p, size_t n)
{
	const char *from = p, *to = p;

	/* look no further than the limit: a line may be long and full of addresses */
	while (from > lines.p && from[-1] != '\n' && p - from <= (ptrdiff_t)LINE_MAX_OCTETS)
		from--;
	while (to < lines.p + lines.n && *to != '\r' && *to != '\n' &&
	       to - p <= (ptrdiff_t)LINE_MAX_OCTETS)
		to++;
	return (size_t)(to - from) + n <= LINE_MAX_OCTETS;
}

/* A field with "@domain" behind each address that lacks it. */
static void
copy_qualified(struct buf *out, struct span lines, struct span value, const char *domain)
{
	struct header_list l;
	struct addr a;
	const char *done = lines.p;
	size_t end = 0, added = 0;
	enum header_list_item item;

	header_list_init(&l, value);
	while ((item = header_list_next(&l, &a, &end)) != HEADER_LIST_END) {
		const char *at = value.p + end;

		if (item == HEADER_LIST_BAD)
			break;
		if (item != HEADER_LIST_UNQUALIFIED ||
		    !line_has_room(lines, at, added + 1 + strlen(domain)))
			continue;
		buf_add(out, done, (size_t)(at - done));
		buf_add_byte(out, '@');
		buf_add_str(out, domain);
		added += 1 + strlen(domain);
		done = at;
	}
	buf_add(out, done, (size_t)(lines.p + lines.n - done));
}

static void
add_missing(struct buf *out, const struct header_info *h, const struct header_fix *fix)
{
	char text[UUID_TEXT > HEADER_DATE_TEXT ? UUID_TEXT : HEADER_DATE_TEXT];

	if (fix->add_date && !h->has_date) {
		header_format_date(fix->now_ms, text);
		buf_addf(out, "Date: %s\r\n", text);
	}
	if (fix->add_message_id && !h->has_message_id) {
		uuid_format(fix->mid, text);
		buf_addf(out, "Message-ID: <%s@%s>\r\n", text, fix->hostname);
	}
}

void
header_copy_fixed(
    struct buf *out, struct span block, const struct header_info *h, const struct header_fix *fix)
{
	struct span valid = {block.p, h->valid_bytes};
	struct field f = {.end = 0};
	bool drop = fix->drop_bcc && h->has_bcc;

	if (!drop && fix->qualify_domain == NULL)
		buf_add_span(out, valid);
	else
		while (next_field(valid, &f) == 1) {
			struct span lines = {valid.p + f.begin, f.end - f.begin};

			if (drop &&
			    (span_eq_nocase(f.name, "Bcc") || span_eq_nocase(f.name, "Resent-Bcc")))
				continue;
			if (fix->qualify_domain != NULL && is_completed(f.name))
				copy_qualified(out, lines, f.value, fix->qualify_domain);
			else
				buf_add_span(out, lines);
		}
	if (valid.n > 0 && valid.p[valid.n - 1] != '\n')
		buf_add_str(out, "\r\n");
	add_missing(out, h, fix);
}
