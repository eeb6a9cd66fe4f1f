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

int
ctl_secret_read(int fd, struct secret *out)
{
	char line[CTL_SECRET_MAX + 1], c;
	size_t n = 0;
	bool any = false;

	for (;;) {
		ssize_t r = read(fd, &c, 1);

		if (r == -1 && errno == EINTR && caught == 0)
			continue;
		if (r <= 0 || c == '\n')
			break;
		any = true;
		if (n < sizeof(line))
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
ctl_secret_ask(const char *prompt, struct secret *out)
{
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
	(void)fputs(prompt, stderr);
	rc = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	if (rc == 0) {
		rc = ctl_secret_read(STDIN_FILENO, out);
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
