/* SPDX-License-Identifier: ISC */
/*
 * Checks of backends that judge bearer tokens: where the answer comes from, and that
 * tokens for other services cannot log in. Pure.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <string.h>

static void
check_introspection(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	(void)conf_check_url(b, x, CONF_OPT_backend_introspection_url, x->introspection_url);
	if ((x->client_id == NULL) != (x->client_secret == NULL))
		conf_error(b,
		    x->client_id == NULL ? CONF_WHERE(x, backend, client_secret)
					 : CONF_WHERE(x, backend, client_id),
		    "%s: client_id and client_secret go together", label);
	else if (x->client_id == NULL)
		conf_warn(b, CONF_WHERE(x, backend, introspection_url),
		    "%s: servers answer introspection to known clients only (RFC 7662, 2.1); "
		    "write client_id and client_secret",
		    label);
	if (x->client_secret != NULL &&
	    (strncmp(x->client_secret, "file:", 5) != 0 || x->client_secret[5] != '/'))
		/* it may be the secret itself: never show it */
		conf_error(b, CONF_WHERE(x, backend, client_secret),
		    "%s: client_secret is no \"file:/PATH\"; put the secret into a file of its own",
		    label);
	if (CONF_GIVEN(x, backend, jwks_refresh))
		conf_error(b, CONF_WHERE(x, backend, jwks_refresh),
		    "%s: jwks_refresh is for jwks_url", label);
	if (x->audience.n == 0 && x->scope == NULL)
		conf_warn(b, CONF_WHERE(x, backend, introspection_url),
		    "%s: every active token can log in, also one made for another service; write "
		    "audience or scope",
		    label);
}

static void
check_keys(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	if (x->jwks_url != NULL)
		(void)conf_check_url(b, x, CONF_OPT_backend_jwks_url, x->jwks_url);
	conf_check_absolute(b, CONF_WHERE(x, backend, jwks_file), label, "jwks_file", x->jwks_file);
	if (x->client_id != NULL || x->client_secret != NULL)
		conf_error(b,
		    x->client_id != NULL ? CONF_WHERE(x, backend, client_id)
					 : CONF_WHERE(x, backend, client_secret),
		    "%s: client_id and client_secret are for introspection_url", label);
	if (x->issuer == NULL)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: write issuer = \"https://...\", the iss of its tokens", label);
	if (x->audience.n == 0)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: write audience: without it a token made for any other service could log "
		    "in",
		    label);
	if (x->jwks_file != NULL && (x->ca_file != NULL || CONF_GIVEN(x, backend, jwks_refresh)))
		conf_error(b, CONF_WHERE(x, backend, jwks_file),
		    "%s: ca_file and jwks_refresh are for jwks_url: the file is read at start and "
		    "reload",
		    label);
}

void
conf_check_backend_oauth(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	if ((x->introspection_url != NULL) + (x->jwks_url != NULL) + (x->jwks_file != NULL) != 1)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: type = oauth needs exactly one of introspection_url, jwks_url and "
		    "jwks_file",
		    label);
	else if (x->introspection_url != NULL)
		check_introspection(b, x, label);
	else
		check_keys(b, x, label);
	conf_check_absolute(b, CONF_WHERE(x, backend, ca_file), label, "ca_file", x->ca_file);
}
