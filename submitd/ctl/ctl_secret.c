/* SPDX-License-Identifier: ISC */
/*
 * A password from a person: from the terminal without echo, or from a descriptor.
 * Never through stdio, whose buffers would keep it. submitctl; whoever asks wipes
 * what he got.
 */
#include "ctl/ctl.h"

#include "base/list.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void
on_signal(int signo)
{
	caught = signo;
}

#define END_OF_INPUT '\x04' /* ^D, where the terminal does not look for it */

/* raw: the terminal hands on each key as it is. */
static int
read_line(int fd, size_t max, bool raw, struct secret *out)
{
	char line[CTL_TOKEN_MAX + 1], c;
	size_t n = 0;
	bool any = false;

	for (;;) {
		ssize_t r = read(fd, &c, 1);

		if (r == -1 && errno == EINTR && caught == 0)
			continue;
		if (r <= 0 || c == '\n' || (raw && c == END_OF_INPUT))
			break;
		any = true;
		if (n <= max && n < sizeof(line))
			line[n++] = c;
	}
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (any)
		secret_set(out, line, n);
	explicit_bzero(line, sizeof(line));
	explicit_bzero(&c, sizeof(c));
	return any ? 0 : -1;
}

int
ctl_secret_read(int fd, size_t max, struct secret *out)
{
	return read_line(fd, max, false, out);
}

int
ctl_secret_ask(const char *prompt, size_t max, struct secret *out)
{
	bool raw = max > CTL_SECRET_MAX; /* lines of a terminal end at 4095 octets */
	struct termios old, quiet;
	static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
	struct sigaction ours = {.sa_handler = on_signal}, before[ARRAY_LEN(signals)];
	size_t i;
	int rc;

	if (tcgetattr(STDIN_FILENO, &old) == -1)
		return -1;
	/* ^C ends it all, but not before the terminal is as it was */
	for (i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &ours, &before[i]);
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (raw) {
		quiet.c_lflag &= ~(tcflag_t)ICANON;
		quiet.c_cc[VMIN] = 1;
		quiet.c_cc[VTIME] = 0;
	}
	rc = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	if (rc == 0) {
		/* not before: what is typed at once would be echoed, and flushed */
		(void)fputs(prompt, stderr);
		rc = read_line(STDIN_FILENO, max, raw, out);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	}
	(void)fputc('\n', stderr);
	for (i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &before[i], NULL);
	if (caught != 0) {
		secret_clear(out);
		(void)raise(caught);
	}
	return rc;
}
