/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SMTP_LOGIN_H
#define SUBMITD_SMTP_LOGIN_H

#include "authbackends/authbackend.h"
#include "mail/smtp_client.h"

#include <openssl/ssl.h>

/* One login at one address of an SMTP server, with what a client gave us (S16). */
struct smtp_login {
	/* in; borrowed */
	const char *helo;
	const char *host; /* as configured: what the certificate must be for */
	struct net_addr addr;
	const struct net_addr *source; /* or NULL */
	SSL_CTX *ctx;                  /* NULL with tls NONE */
	enum smtp_client_tls tls;      /* NONE, MUST or IMPLICIT */
	int64_t connect_until_ms;      /* not later than deadline_ms */
	int64_t deadline_ms;
	/* out */
	bool answered; /* it said something about the credentials */
	/* V_TEMP that stays until somebody changes a configuration: worth an error in the log */
	bool misconfigured;
	char why[AUTH_REASON_MAX]; /* V_TEMP and V_PERM; never what server or client sent */
};

/*
 * V_OK, V_PERM (535, or 5.7.8), else V_TEMP; by the deadline. Fills trace and tls_peer of the
 * check, nothing else of it.
 */
enum verdict smtp_login_try(struct smtp_login *, struct auth_check *);

#endif
