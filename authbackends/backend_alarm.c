/* SPDX-License-Identifier: ISC */
/*
 * Tells the log, from the loop, what workers found that only an operator can change:
 * a wrong URL, an untrusted certificate. Process auth.
 */
#include "authbackends/backend_alarm.h"

#include "authbackends/auth_worker.h"

#include "base/log.h"
#include "base/str.h"

#include <string.h>

#define AGAIN_MS 600000

void
backend_alarm_init(struct backend_alarm *a)
{
	*a = (struct backend_alarm){.text = ""};
	pthread_mutex_init(&a->lock, NULL);
}

void
backend_alarm_clear(struct backend_alarm *a)
{
	pthread_mutex_destroy(&a->lock);
}

void
backend_alarm_raise(struct backend_alarm *a, const char *text)
{
	pthread_mutex_lock(&a->lock);
	(void)str_copy(a->text, sizeof(a->text), text);
	pthread_mutex_unlock(&a->lock);
}

void
backend_alarm_tick(struct backend_alarm *a, const char *title)
{
	char text[AUTH_REASON_MAX];
	int64_t now = auth_clock_ms();
	struct log_line l;

	pthread_mutex_lock(&a->lock);
	memcpy(text, a->text, sizeof(text));
	a->text[0] = '\0';
	pthread_mutex_unlock(&a->lock);
	if (text[0] == '\0' || (strcmp(text, a->logged) == 0 && now - a->logged_ms < AGAIN_MS))
		return;
	memcpy(a->logged, text, sizeof(text));
	a->logged_ms = now;
	log_begin(&l, LOG_LEVEL_ERROR, EV_BACKEND);
	log_str(&l, LK_BACKEND_NAME, title);
	log_str(&l, LK_STATE, "misconfigured");
	log_str(&l, LK_TEXT, text);
	log_end(&l);
}
