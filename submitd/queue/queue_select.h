/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_SELECT_H
#define SUBMITD_QUEUE_QUEUE_SELECT_H

#include "base/buf.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A selection of submitctl compiled to SQL. Texts from outside only ever become bound
 * parameters; the SQL itself is made of constants and numbers of parameters.
 */
#define QUEUE_SELECT_MAX 1000 /* ids in one selection, parameters */

struct queue_select {
	struct buf where; /* "(…) AND (…)", "1" for everything */
	struct {
		bool is_text;
		int64_t number;
		char *text; /* owned; is_text */
		uint8_t mid[16];
		bool is_mid;
	} * params;
	int n_params, cap_params;
	bool empty; /* nothing was selected by name, nor `all` */
};
enum queue_select_table { SELECT_QUEUE = 0, SELECT_HISTORY = 1 };

/* -1: text in err, a usage error. S may be NULL: empty. */
int queue_select_compile(struct queue_select *, enum queue_select_table, json_t *s, int64_t now_ms,
    char *err, size_t errsize);
void queue_select_clear(struct queue_select *);
/* Binds all parameters from index first on. */
int queue_select_bind(const struct queue_select *, sqlite3_stmt *, int first);

#endif
