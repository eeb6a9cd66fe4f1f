/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_TLS_PIN_H
#define SUBMITD_BASE_TLS_PIN_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#define TLS_PIN_CERTS_MAX 100u /* in one file */

/*
 * A client's context that trusts the certificates in these PEM files and nothing else. A server
 * passes when its own certificate is one of them, whatever name and dates stand in it (as RFC
 * 7671, 5.1 says of such a record), or when its chain leads to one that is an authority; then
 * name and dates must be right. n is at least 1. The files are read now. NULL with err.
 */
SSL_CTX *tls_pin_new(char *const *files, size_t n, char *err, size_t errsize);

/*
 * What a connection to a server of ours trusts: these files if it verifies and there are any, else
 * tls_client_new() with ca_file.
 */
SSL_CTX *tls_pin_or_client_new(
    char *const *files, size_t n, const char *ca_file, bool verify, char *err, size_t errsize);

/*
 * Whether a file would do: 0 with the certificates' first notAfter, in seconds since 1970; -1 with
 * err.
 */
int tls_pin_check(const char *file, long long *not_after, char *err, size_t errsize);

#endif
