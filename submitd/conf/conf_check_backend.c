/* SPDX-License-Identifier: ISC */
/*
 * Checks of backend blocks: which option belongs to which type, and what each type
 * cannot do without. A new type adds its bits to the table and its function to the
 * list. Pure, no file system.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"

#include <string.h>

#define TYPE(type) (1u << BACKEND_##type)
#define LOCAL (TYPE(INTERNAL) | TYPE(FILE)) /* the others ask servers */

/* The options that only some types have. */
static const struct {
	enum conf_option_backend opt;
	unsigned types;
} owned[] = {
    {CONF_OPT_backend_path, TYPE(FILE)},
    {CONF_OPT_backend_breaker_failures, ~LOCAL},
    {CONF_OPT_backend_breaker_pause, ~LOCAL},
    {CONF_OPT_backend_allow_plain, TYPE(FILE) | TYPE(HTTP) | TYPE(SMTP) | TYPE(OAUTH)},
    {CONF_OPT_backend_ca_file, TYPE(HTTP) | TYPE(OAUTH)},
    {CONF_OPT_backend_url, TYPE(HTTP)},
    {CONF_OPT_backend_method, TYPE(HTTP)},
    {CONF_OPT_backend_auth, TYPE(HTTP)},
    {CONF_OPT_backend_content_type, TYPE(HTTP)},
    {CONF_OPT_backend_body, TYPE(HTTP)},
    {CONF_OPT_backend_expect, TYPE(HTTP)},
    {CONF_OPT_backend_expect_newline, TYPE(HTTP)},
    {CONF_OPT_backend_expect_field, TYPE(HTTP)},
    {CONF_OPT_backend_expect_status, TYPE(HTTP)},
    {CONF_OPT_backend_user_field, TYPE(HTTP)},
    {CONF_OPT_backend_addresses_field, TYPE(HTTP)},
    {CONF_OPT_backend_profile, TYPE(LDAP)},
    {CONF_OPT_backend_bind_as, TYPE(LDAP)},
    {CONF_OPT_backend_transport, TYPE(SMTP)},
    {CONF_OPT_backend_tls, TYPE(SMTP)},
    {CONF_OPT_backend_introspection_url, TYPE(OAUTH)},
    {CONF_OPT_backend_client_id, TYPE(OAUTH)},
    {CONF_OPT_backend_client_secret, TYPE(OAUTH)},
    {CONF_OPT_backend_jwks_url, TYPE(OAUTH)},
    {CONF_OPT_backend_jwks_file, TYPE(OAUTH)},
    {CONF_OPT_backend_jwks_refresh, TYPE(OAUTH)},
    {CONF_OPT_backend_issuer, TYPE(OAUTH)},
    {CONF_OPT_backend_audience, TYPE(OAUTH)},
    {CONF_OPT_backend_scope, TYPE(OAUTH)},
    {CONF_OPT_backend_username_claim, TYPE(OAUTH)},
    {CONF_OPT_backend_addresses_claim, TYPE(OAUTH)},
};

/* "file" or "file, smtp". */
static void
list_types(unsigned types, char *out, size_t size)
{
	static const char *const words[] = {CONF_ENUM_backend_type};
	size_t i, n = 0;

	out[0] = '\0';
	for (i = 0; i < ARRAY_LEN(words); i++)
		if ((types & (1u << i)) != 0) {
			(void)str_printf(out + n, size - n, "%s%s", n == 0 ? "" : ", ", words[i]);
			n = strlen(out);
		}
}

static void
check_owned(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	char types[200];
	size_t i;

	for (i = 0; i < ARRAY_LEN(owned); i++) {
		if ((owned[i].types & (1u << x->type)) != 0 ||
		    !conf_option_given(CONF_BLOCK_backend, x, owned[i].opt))
			continue;
		list_types(owned[i].types, types, sizeof(types));
		conf_error(b, conf_option_where(CONF_BLOCK_backend, x, owned[i].opt),
		    "%s: %s is for type = %s%s", label,
		    conf_blocks[CONF_BLOCK_backend].opts[owned[i].opt].name, types,
		    x->type == BACKEND_INTERNAL ? "; internal takes its users from user blocks"
						: "; remove it");
	}
}

static void
check_internal(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	(void)b, (void)x, (void)label; /* nothing of its own */
}

static void
check_file(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	if (x->path == NULL)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: type = file needs path = \"/PATH\" of the file with names and hashes",
		    label);
	conf_check_absolute(b, CONF_WHERE(x, backend, path), label, "path", x->path);
	if (x->allow_plain)
		conf_warn(b, CONF_WHERE(x, backend, allow_plain),
		    "%s: passwords in clear are taken; make hashes with submitctl passwd instead",
		    label);
}

/*
 * S42: the transport's hosts, its port, source and authorities; whether TLS is used is ours, but
 * not how it begins, nor what the transport says about certificates. False: reported.
 */
static bool
check_smtp_tls(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	static const char *const words[] = {CONF_ENUM_backend_tls};
	const struct conf_transport *t = x->transport_block;
	const char *what = NULL;

	if (t == NULL || x->tls == BACKEND_TLS_REQUIRE_VERIFY)
		return true;
	if (t->tls == TRANSPORT_TLS_IMPLICIT)
		what = "has tls = implicit, which is always verified";
	else if (t->pinned.n > 0)
		what = "has pinned, which would not be looked at";
	if (what == NULL)
		return true;
	conf_error(b, CONF_WHERE(x, backend, tls), "%s: tls = %s: transport \"%s\" %s; remove tls",
	    label, words[x->tls], t->title, what);
	return false;
}

/* S42 */
static void
check_smtp(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	const struct conf_transport *t = x->transport_block;
	struct conf_where at_tls = CONF_WHERE(x, backend, tls);

	if (x->transport == NULL)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: type = smtp needs transport = \"NAME\" of a transport with method = "
		    "static",
		    label);
	else if (t != NULL && t->is_mx)
		conf_error(b, CONF_WHERE(x, backend, transport),
		    "%s: transport \"%s\" has method = lookup-mx; passwords go to hosts that stand "
		    "in the configuration only, name a transport with method = static",
		    label, t->title);
	if (!check_smtp_tls(b, x, label))
		return;
	if (x->tls == BACKEND_TLS_NONE && !x->allow_plain)
		conf_error(b, at_tls,
		    "%s: tls = none sends passwords in clear; write require_verify, or "
		    "allow_plain = true beside it if nobody can listen",
		    label);
	else if (x->tls == BACKEND_TLS_NONE)
		conf_warn(b, at_tls, "%s: tls = none: passwords are sent in clear", label);
	else if (x->allow_plain)
		conf_warn(b, CONF_WHERE(x, backend, allow_plain),
		    "%s: allow_plain is used with tls = none only; remove it", label);
}

static void (*const checks[])(struct conf_builder *, const struct conf_backend *, const char *) = {
    [BACKEND_INTERNAL] = check_internal,
    [BACKEND_FILE] = check_file,
    [BACKEND_HTTP] = conf_check_backend_http,
    [BACKEND_LDAP] = conf_check_ldap_backend,
    [BACKEND_SMTP] = check_smtp,
    [BACKEND_OAUTH] = conf_check_backend_oauth,
};

void
conf_check_backend(struct conf_builder *b, const struct conf_backend *x)
{
	char label[CONF_LABEL];

	conf_label(CONF_BLOCK_backend, x->title, NULL, label);
	if (!CONF_GIVEN(x, backend, type) || (size_t)x->type >= ARRAY_LEN(checks))
		return; /* reported, or the built-in internal */
	if (x->type != BACKEND_INTERNAL && strcmp(x->title, "internal") == 0)
		conf_error(b, x->where,
		    "%s: the name internal means the user blocks; choose another name", label);
	check_owned(b, x, label);
	checks[x->type](b, x, label);
}
