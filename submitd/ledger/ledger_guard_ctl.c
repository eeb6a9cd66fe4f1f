/* SPDX-License-Identifier: ISC */
/*
 * `submitctl account`: who is counted or locked out, and forgetting it. Runs in ledger;
 * the request comes from control, which says who asks.
 */
#include "ledger/ledger_guard.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/str.h"
#include "ledger/guard.h"

#include <inttypes.h>
#include <string.h>

#define LIST_DEFAULT 1000
#define LIST_MAX 100000

struct listing {
	struct ipc_peer *peer;
	uint64_t request;
	int64_t now;
	json_int_t left;
	bool known;
	struct buf row;
};

static void
add_text(struct buf *b, const char *key, struct span value)
{
	buf_addf(b, ",\"%s\":", key);
	json_add_str(b, value);
}

static void
add_row(struct buf *b, const struct guard_row *r, int64_t now)
{
	bool locked = guard_row_is_locked(r, now), of_user = r->key.kind >= GUARD_PAIR;
	struct buf key = BUF_INIT;

	guard_row_key(r, &key);
	buf_addf(b, "{\"kind\":\"%s\"", guard_kind_name((enum guard_kind)r->key.kind));
	add_text(b, "key", of_user ? span_of(r->name) : buf_span(&key));
	if (of_user)
		add_text(b, "network", buf_span(&key));
	else
		add_text(b, "name", span_of(r->name));
	buf_addf(b, ",\"failures\":%" PRIu32 ",\"locked\":%s",
	    guard_row_failures(ledger_guard(), r, now), locked ? "true" : "false");
	if (r->last_ms != 0)
		buf_addf(b, ",\"since\":%" PRId64 ",\"last\":%" PRId64, r->since_ms / 1000,
		    r->last_ms / 1000);
	if (locked)
		buf_addf(b, ",\"until\":%" PRId64 ",\"left_s\":%" PRId64, r->until_ms / 1000,
		    (r->until_ms - now + 999) / 1000);
	if (r->known_ms != 0)
		buf_addf(b, ",\"last_login\":%" PRId64, r->known_ms / 1000);
	buf_add_byte(b, '}');
	buf_clear(&key);
}

static bool
list_row(const struct guard_row *r, void *arg)
{
	struct listing *l = arg;
	bool counted =
	    guard_row_is_locked(r, l->now) || guard_row_failures(ledger_guard(), r, l->now) != 0;

	if (l->known ? r->known_ms == 0 : !counted)
		return true;
	buf_reset(&l->row);
	add_row(&l->row, r, l->now);
	struct ipc_ctl_res m = {.request = l->request, .more = 1, .json = buf_span(&l->row)};
	(void)ipc_send_ctl_res(l->peer, -1, &m);
	return --l->left > 0;
}

static void
list(struct ipc_peer *p, uint64_t request, json_t *req, struct buf *last, uint8_t *status)
{
	struct listing l = {.peer = p, .request = request, .now = ev_wall_ms(), .row = BUF_INIT};
	json_int_t limit = LIST_DEFAULT;
	int known = 0;

	(void)json_unpack(req, "{s?I,s?b}", "limit", &limit, "known", &known);
	if (limit < 1 || limit > LIST_MAX) {
		*status = 2;
		buf_addf(last, "{\"error\":\"limit is a number from 1 to %d\"}", LIST_MAX);
		return;
	}
	l.left = limit;
	l.known = known != 0;
	guard_each(ledger_guard(), list_row, &l);
	buf_clear(&l.row);
	buf_add_str(last, "{\"end\":true}");
}

static void
clear(json_t *req, struct buf *last, uint8_t *status)
{
	const char *key = NULL;
	char user[CONF_USER_KEY] = "", text[400];
	int all = 0;
	size_t n;

	(void)json_unpack(req, "{s?s,s?b}", "key", &key, "all", &all);
	if ((key == NULL || key[0] == '\0') == (all == 0)) {
		*status = 2;
		buf_add_str(last, "{\"error\":\"account.clear needs either key or all\"}");
		return;
	}
	if (key != NULL)
		conf_user_key(ledger_guard_conf(), span_of(key), user);
	n = guard_forget(ledger_guard(), ev_wall_ms(), all != 0 ? NULL : key, span_of(user));
	if (n == 0 && all == 0) {
		*status = 1;
		(void)str_printf(text, sizeof(text),
		    "nothing is counted under \"%.300s\"; see submitctl account list", key);
		buf_add_str(last, "{\"error\":");
		json_add_str(last, span_of(text));
		buf_add_str(last, "}");
		return;
	}
	buf_addf(last, "{\"cleared\":%zu}", n);
}

bool
ledger_guard_ctl(struct ipc_peer *p, uint64_t request, const char *cmd, json_t *req,
    struct buf *last, uint8_t *status)
{
	if (strcmp(cmd, "account.list") == 0)
		list(p, request, req, last, status);
	else if (strcmp(cmd, "account.clear") == 0)
		clear(req, last, status);
	else
		return false;
	return true;
}
