/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_FRONT_PROXY_H
#define SUBMITD_FRONT_PROXY_H

#include "base/net.h"

#include <stddef.h>
#include <stdint.h>

/* The PROXY protocol, versions 1 and 2 (P8). Pure. */
#define PROXY_MAX 1024u /* longest header that is taken, with its extensions */

enum proxy_result {
	PROXY_MORE = 0,  /* not complete yet */
	PROXY_OK = 1,    /* *client is set */
	PROXY_LOCAL = 2, /* the proxy speaks for itself (health check) or does not know */
	PROXY_BAD = 3,
	PROXY__MAX
};
/* Looks at the first bytes of a connection. *used: length of the header, when complete. */
enum proxy_result proxy_parse(const uint8_t *, size_t n, struct net_addr *client, size_t *used);

#endif
