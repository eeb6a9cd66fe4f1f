/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_PRINCIPAL_H
#define SUBMITD_AUTH_PRINCIPAL_H

#include "authbackends/authbackend.h"

/*
 * Who it is when a backend said yes: its own spelling, else the login. A token or a certificate
 * says by itself whose it is: its backend must tell, and a name that the client claims must be
 * that one (RFC 7628, 3.1; RFC 4422, 3.4.1). V_OK with the principal, else why not in *why, which
 * is static.
 */
enum verdict auth_principal(const struct conf *, const struct conf_listener *,
    const struct auth_check *, char principal[ADDR_TEXT], const char **why);

#endif
