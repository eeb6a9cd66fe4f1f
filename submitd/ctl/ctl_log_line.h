/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_CTL_LOG_LINE_H
#define SUBMITD_CTL_CTL_LOG_LINE_H

#include "base/buf.h"

#include <stdbool.h>

/* One event of the log, from a text or a JSON line. */
#define LOG_LINE_FIELDS 64
struct log_event_line {
	struct buf hold; /* the texts */
	struct {
		const char *key, *value;
		bool number; /* written bare in JSON */
	} fields[LOG_LINE_FIELDS];
	size_t n;
};
/* -1: the line is no event (garbage, cut off). The struct is reused; clear it at the end. */
int log_line_parse(struct span line, struct log_event_line *);
/* NULL when the key is not there. */
const char *log_line_get(const struct log_event_line *, const char *key);
void log_line_clear(struct log_event_line *);
/* For people: time, role, event, then the other fields; for programs: one JSON object. */
void log_line_format(const struct log_event_line *, bool json, struct buf *out);

/* What submitctl log looks for (S70). */
enum log_query_kind {
	LOG_QUERY_TEXT = 0, /* anywhere in the line, ASCII case does not matter */
	LOG_QUERY_MID = 1,
	LOG_QUERY_QID = 2,
	LOG_QUERY_MID_QID = 3,
	LOG_QUERY_SID = 4,
	LOG_QUERY_REGEX = 5,
};
struct log_query {
	enum log_query_kind kind;
	const char *text; /* borrowed */
	char mid[40];
	const char *qid;
	void *regex; /* owned regex_t */
};
/* -1 with a text for the person. */
int log_query_parse(const char *, struct log_query *, char *err, size_t errsize);
bool log_query_match(const struct log_query *, struct span line, const struct log_event_line *);
void log_query_clear(struct log_query *);

#endif
