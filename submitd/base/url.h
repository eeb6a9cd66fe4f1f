/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_URL_H
#define SUBMITD_BASE_URL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define URL_MAX 2000u

/* A URL of http or https as the configuration gives it; all spans point into the text. */
struct url {
	bool https;
	struct span host; /* name or address, without [] */
	uint16_t port;
	struct span path;  /* with its slash; empty where none is given */
	struct span query; /* behind the "?"; p is NULL where there is none */
};

/*
 * NULL, or what is wrong with it, as a phrase. Refused are user names and passwords ("user@"),
 * fragments, blanks, control characters and everything beyond ASCII.
 */
const char *url_parse(struct span text, struct url *);
/* localhost, 127.0.0.0/8 or ::1: what is sent there stays on this machine. */
bool url_is_loopback(const struct url *);

/* Appends the octets with all but letters, digits, "-", "_", "~" and "." as %XX (RFC 3986, 2.3). */
void url_encode(struct buf *out, struct span);

#endif
