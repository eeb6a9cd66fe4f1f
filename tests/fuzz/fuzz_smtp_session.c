/* SPDX-License-Identifier: ISC */
/*
 * The real session code against any client: octet 0 chooses the listener and what
 * the other roles do, octet 1 the size of the pieces in which the rest arrives.
 */
#include "tests/lib/fake_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_replies(void)
{
	const char *p = (const char *)buf_data(&fake.out);
	size_t n = buf_len(&fake.out);

	/* whole lines of a code and printable text, never more than 512 octets (RFC
	 * 5321, 4.5.3.1.5) */
	while (n > 0) {
		const char *lf = memchr(p, '\n', n);
		size_t len = lf == NULL ? 0 : (size_t)(lf - p) + 1;

		invariant(lf != NULL && len >= 5 && len <= 520 && lf[-1] == '\r');
		invariant(p[0] >= '2' && p[0] <= '5');
		for (size_t i = 0; i + 2 < len; i++)
			invariant((uint8_t)p[i] >= 0x20 && p[i] != 0x7f);
		p += len;
		n -= len;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const listeners[] = {"submission", "submissions", "mx", "old"};
	static bool ready;
	size_t piece;

	if (n < 2)
		return 0;
	if (!ready) {
		struct log_options o = {.level = LOG_LEVEL_ERROR};
		char err[200];

		(void)log_open(&o, err, sizeof(err));
		fake_setup();
		ready = true;
	}
	fake.queue_gone = (p[0] & 4) != 0;
	fake.auth_gone = (p[0] & 8) != 0;
	fake.open_code = (p[0] & 16) != 0 ? 452 : 0;
	fake.res_code = (p[0] & 32) != 0 ? 451 : 0;
	fake.front.queue_full = (p[0] & 192) == 192;
	piece = p[1] == 0 ? n : p[1];
	fake_connect(listeners[p[0] & 3]);
	for (size_t at = 2; at < n && fake.io != NULL; at += piece)
		fake_feed(p + at, n - at < piece ? n - at : piece);
	if (fake.queue_gone) {
		fake.queue_gone = false;
		offers_on_queue_up(&fake.front);
		fake_turn();
	}
	fake_event((p[0] & 64) != 0 ? IO_TIMEOUT : IO_EOF);
	invariant(fake.io == NULL && fake.front.n_sessions == 0);
	invariant(TAILQ_EMPTY(&fake.front.offers) && fake.front.data_used == 0);
	check_replies();
	buf_reset(&fake.out);
	return 0;
}
