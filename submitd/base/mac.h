/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_MAC_H
#define SUBMITD_BASE_MAC_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

/*
 * HMAC-SHA-256 of many short texts under one key: a fifth of what HMAC() costs, which looks
 * up the algorithm and spreads the key each time. One thread at a time.
 */
#define MAC_SIZE 32u
struct mac;
/* The key is copied. Never NULL. */
struct mac *mac_new(const uint8_t *key, size_t n);
void mac_of(struct mac *, struct span text, uint8_t out[MAC_SIZE]);
void mac_free(struct mac *); /* wipes the key; NULL is fine */

#endif
