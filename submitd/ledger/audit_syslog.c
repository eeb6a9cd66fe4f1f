/* SPDX-License-Identifier: ISC */
/*
 * Copies of audit records for syslog. Process ledger; the socket is made before the
 * sandbox, and is not connected, so that it outlives a restart of syslog. Must never
 * wait for it.
 */
#include "ledger/audit_syslog.h"

#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_OCTETS 60000u
#define SAY_TICKS 60

/* In the order of the words of audit.syslog. */
static const int facilities[] = {-1, LOG_AUTH, LOG_AUTHPRIV, LOG_DAEMON, LOG_MAIL, LOG_USER,
    LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7};
static int socket_fd = -1, chosen;
static uint64_t lost, lost_said;
static unsigned ticks;

int
audit_syslog_open(int facility, char *err, size_t errsize)
{
	chosen = facility;
	if (facility <= 0 || facility >= (int)ARRAY_LEN(facilities))
		return 0;
	socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (socket_fd != -1)
		return 0;
	(void)str_printf(err, errsize, "audit: syslog: %s", strerror(errno));
	return -1;
}

int
audit_syslog_facility(void)
{
	return chosen;
}

void
audit_syslog_send(struct span line)
{
	static const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	char head[64];
	struct buf b = BUF_INIT;

	if (socket_fd == -1 || line.n == 0)
		return;
	if (line.p[line.n - 1] == '\n')
		line.n--;
	(void)str_printf(head, sizeof(head),
	    "<%d>submitd-audit[%d]: ", facilities[chosen] | LOG_NOTICE, (int)getpid());
	buf_add_str(&b, head);
	buf_add_span(&b, line);
	if (buf_len(&b) > LINE_MAX_OCTETS ||
	    sendto(socket_fd, buf_data(&b), buf_len(&b), MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&un, sizeof(un)) == -1)
		lost++;
	buf_clear(&b);
}

void
audit_syslog_tick(void)
{
	if (lost == lost_said || ticks++ % SAY_TICKS != 0)
		return;
	log_note(LOG_LEVEL_WARN,
	    "audit: syslog did not take %" PRIu64 " copies so far; the file has the records", lost);
	lost_said = lost;
}

uint64_t
audit_syslog_lost(void)
{
	return lost;
}
