/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BACKEND_ALARM_H
#define SUBMITD_BACKEND_ALARM_H

#include "authbackends/authbackend.h"

#include <pthread.h>
#include <stdint.h>

/*
 * "An operator must act", from workers to the log: the same text once in ten minutes
 * however many logins meet it. A zeroed struct with alarm_init() is quiet.
 */
struct backend_alarm {
	pthread_mutex_t lock;
	char text[AUTH_REASON_MAX];   /* raised, not yet logged; "": none */
	char logged[AUTH_REASON_MAX]; /* the last one */
	int64_t logged_ms;
};

void backend_alarm_init(struct backend_alarm *);
void backend_alarm_clear(struct backend_alarm *);
void backend_alarm_raise(struct backend_alarm *, const char *text); /* on a worker */
void backend_alarm_tick(struct backend_alarm *, const char *title); /* in the loop */

#endif
