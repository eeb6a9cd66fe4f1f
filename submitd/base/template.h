/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_TEMPLATE_H
#define SUBMITD_BASE_TEMPLATE_H

#include "base/buf.h"

#include <stdbool.h>

/*
 * A text with places for a user's name (%u or $1) and password (%p or $2): a URL, a
 * form or a JSON body. Values are escaped always, by the kind of the text, and are
 * never looked at again: a name "%p" stays that.
 */
enum template_kind {
	TEMPLATE_FORM = 0, /* URL or form: percent-encoding; other % are followed by two digits */
	TEMPLATE_JSON = 1, /* places stand inside of strings */
};
struct template_use {
	bool name, password; /* has a place for it */
};

/* NULL, or what is wrong with the text, as a phrase. *use is filled where it is right. */
const char *template_check(struct span text, enum template_kind, struct template_use *use);
/*
 * Appends the text with its values to an empty out, in one piece of memory, so that
 * buf_wipe() leaves no copy. -1 where a value has no form in this kind: JSON takes UTF-8 only.
 */
int template_expand(
    struct buf *out, struct span text, enum template_kind, struct span name, struct span password);

#endif
