/* SPDX-License-Identifier: ISC */
/*
 * Which records of the audit stand there a second time, because a sync had failed after
 * the first: numbers of one sender only grow (ledger/audit_senders.h). Pure. Memory is
 * bounded: of senders that were not seen for long nothing is known. A gap that the ledger
 * tells has the number of the last record that is lost, which may stand there once, before
 * the failed sync: gaps repeat gaps only.
 */
#include "ctl/ctl_audit.h"

#include "base/str.h"

#include <string.h>

bool
ctl_audit_is_repeated(struct ctl_audit_senders *s, const json_t *record)
{
	const char *src = json_string_value(json_object_get(record, "src"));
	const json_t *number = json_object_get(record, "n");
	const char *kind = json_string_value(json_object_get(record, "kind"));
	struct ctl_audit_sender found = {.n = 0};
	json_int_t *last = kind != NULL && strcmp(kind, "gap") == 0 ? &found.gap : &found.n;
	json_int_t n = json_integer_value(number);
	bool repeated;
	size_t i;

	/* the ledger's own records have neither */
	if (src == NULL || n <= 0 || str_copy(found.src, sizeof(found.src), src) == -1)
		return false;
	for (i = 0; i < s->n && strcmp(s->v[i].src, src) != 0; i++)
		;
	if (i < s->n)
		found = s->v[i];
	else if (s->n < CTL_AUDIT_SENDERS)
		s->n++;
	else
		i = s->n - 1;
	repeated = n <= *last;
	if (!repeated)
		*last = n;
	/* the latest in front: it is found at once, and the oldest is forgotten */
	memmove(&s->v[1], &s->v[0], i * sizeof(s->v[0]));
	s->v[0] = found;
	return repeated;
}
