/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of everything but listeners: what each option allows by itself and
 * what makes no sense together.
 *
 * Pure, no file system: that is conf_files.c. An error is what cannot work or is
 * not safe; a warning is what will surprise.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"

#include <string.h>

void
conf_check_absolute(struct conf_builder *b, struct conf_where where, const char *label,
    const char *option, const char *path)
{
	char shown[CONF_SHOWN];

	if (path != NULL && path[0] != '/')
		conf_error(b, where, "%s: %s = \"%s\" is no absolute path; write it from / on",
		    label, option, conf_shown(span_of(path), shown));
}

void
conf_check_filter(struct conf_builder *b, const char *label, const char *what, int mode,
    struct conf_where mode_where, const struct conf_list *filter)
{
	if (mode == FILTER_ALLOW && filter->n == 0)
		conf_warn(b, mode_where,
		    "%s: %s_mode = allow with an empty %s_filter lets nobody log in (S4)", label,
		    what, what);
	else if (mode == FILTER_DENY && filter->n == 0)
		conf_warn(b, mode_where, "%s: %s_mode = deny with an empty %s_filter does nothing",
		    label, what, what);
	else if (mode == FILTER_OFF && filter->n != 0)
		conf_warn(b, filter->where,
		    "%s: %s_filter is not used while %s_mode = off; write allow or deny", label,
		    what, what);
}

static void
check_server(struct conf_builder *b)
{
	const struct conf_server *s = b->conf->server;
	char ascii[ADDR_DOMAIN_MAX + 1], shown[CONF_SHOWN];
	struct addr addr;
	const char *p;

	if (s->hostname != NULL) {
		struct conf_where where = CONF_WHERE(s, server, hostname);

		if (addr_domain_ascii(span_of(s->hostname), ascii) == -1)
			conf_error(b, where,
			    "server: hostname = \"%s\" is no host name; write it as in "
			    "mail.example.com",
			    conf_shown(span_of(s->hostname), shown));
		else if (strchr(ascii, '.') == NULL)
			conf_warn(b, where,
			    "server: hostname = \"%s\" has no dot; others refuse such a name in "
			    "EHLO, "
			    "write the full name",
			    s->hostname);
	}
	if (CONF_GIVEN(s, server, postmaster) && s->postmaster != NULL &&
	    addr_parse(span_of(s->postmaster), ADDR_ALLOW_UTF8, &addr) != ADDR_OK)
		conf_error(b, CONF_WHERE(s, server, postmaster),
		    "server: postmaster = \"%s\" is no address; write it as in "
		    "postmaster@example.com",
		    conf_shown(span_of(s->postmaster), shown));
	conf_check_absolute(b, CONF_WHERE(s, server, spool), "server", "spool", s->spool);
	conf_check_absolute(b, CONF_WHERE(s, server, state), "server", "state", s->state);
	conf_check_absolute(b, CONF_WHERE(s, server, control), "server", "control", s->control);
	for (p = s->user_prefix; p != NULL && *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || *p == '_' ||
			(p > s->user_prefix && ((*p >= '0' && *p <= '9') || *p == '-'))))
			break;
	if (p != NULL && *p != '\0')
		conf_error(b, CONF_WHERE(s, server, user_prefix),
		    "server: user_prefix = \"%s\" cannot begin a user's name; write small letters, "
		    "digits, _ and -",
		    conf_shown(span_of(s->user_prefix), shown));
}

static bool
check_is_facility(const char *name)
{
	static const char *const names[] = {"mail", "daemon", "auth", "authpriv", "user", "local0",
	    "local1", "local2", "local3", "local4", "local5", "local6", "local7"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void
check_log(struct conf_builder *b)
{
	const struct conf_log *l = b->conf->log;
	char shown[CONF_SHOWN];
	size_t i;

	for (i = 0; i < l->targets.n; i++) {
		const char *t = l->targets.v[i];

		if (strcmp(t, "stderr") == 0 || strcmp(t, "journal") == 0 ||
		    (strncmp(t, "syslog:", 7) == 0 && check_is_facility(t + 7)) ||
		    (strncmp(t, "file:", 5) == 0 && t[5] == '/'))
			continue;
		conf_error(b, l->targets.where,
		    "log: targets: \"%s\" is unknown; write stderr, journal, \"file:/PATH\" or "
		    "\"syslog:FACILITY\" (mail, daemon, auth, authpriv, user, local0 to local7)",
		    conf_shown(span_of(t), shown));
	}
}

static void
check_ou(struct conf_builder *b, const struct conf_ou *x)
{
	char label[CONF_LABEL];

	conf_label(CONF_BLOCK_ou, x->title, NULL, label);
	conf_check_filter(b, label, "auth_user", x->auth_user_mode,
	    CONF_WHERE(x, ou, auth_user_mode), &x->auth_user_filter);
}

/* Then no user needs anything of his own to log in. */
static bool
emails_name_users(const struct conf_builder *b)
{
	size_t i;

	for (i = 0; i < b->conf->n_tls; i++)
		if (b->conf->tls_blocks[i].client_email)
			return true;
	return false;
}

/* Then the block may only say what he may, and somebody else has his password. */
static bool
others_have_passwords(const struct conf_builder *b)
{
	size_t i;

	for (i = 0; i < b->conf->n_backend; i++)
		if (b->conf->backend_blocks[i].type != BACKEND_INTERNAL)
			return true;
	return false;
}

static void
check_user(struct conf_builder *b, const struct conf_user *x)
{
	char label[CONF_LABEL], shown[CONF_SHOWN];

	conf_label(CONF_BLOCK_user, x->title, NULL, label);
	if (CONF_GIVEN(x, user, clients) && x->clients.n == 0)
		conf_error(b, CONF_WHERE(x, user, clients),
		    "%s: clients is empty: leave it out for everywhere, or write smtp_auth = off "
		    "for "
		    "nowhere",
		    label);
	if (x->secret != NULL && (strncmp(x->secret, "file:", 5) != 0 || x->secret[5] != '/')) {
		/* it may be a password: never show it */
		conf_error(b, CONF_WHERE(x, user, secret),
		    "%s: secret is no \"file:/PATH\"; put the hash into a file of its own "
		    "(submitctl "
		    "passwd makes it)",
		    label);
	}
	if (x->smtp_auth == SMTP_AUTH_OFF) {
		if (x->secret != NULL)
			conf_warn(b, CONF_WHERE(x, user, secret),
			    "%s: secret is not used, because smtp_auth is off; write smtp_auth = "
			    "matching_sender",
			    label);
	} else if (x->secret == NULL && x->client_cert_sha256.n == 0 && !emails_name_users(b) &&
		   !others_have_passwords(b)) {
		conf_error(b, CONF_WHERE(x, user, smtp_auth),
		    "%s: smtp_auth = %s needs secret = \"file:/PATH\", client_cert_sha256, or a "
		    "backend that has the password",
		    label, x->smtp_auth == SMTP_AUTH_ANY_SENDER ? "any_sender" : "matching_sender");
	}
	/*
	 * A warning, no error: without patterns any_sender still means the senders of the user's
	 * own unit, so nothing is open that should not be.
	 */
	if (x->smtp_auth == SMTP_AUTH_ANY_SENDER && x->senders.n == 0)
		conf_warn(b, CONF_WHERE(x, user, smtp_auth),
		    "%s: any_sender without senders: only senders of its own ou are possible; list "
		    "others in senders",
		    label);
	if (x->smtp_auth != SMTP_AUTH_ANY_SENDER && x->senders.n != 0)
		conf_warn(b, CONF_WHERE(x, user, senders),
		    "%s: senders (%s...) is used with smtp_auth = any_sender only", label,
		    conf_shown(span_of(x->senders.v[0]), shown));
}

static void
check_unreferenced(struct conf_builder *b)
{
	static const struct {
		enum conf_kind kind;
		const char *by;
	} kinds[] = {{CONF_BLOCK_tls, "tls_profile of a listener"},
	    {CONF_BLOCK_auth_flow, "auth_flow of a listener"},
	    {CONF_BLOCK_backend, "chain of an auth_flow"},
	    {CONF_BLOCK_ldap, "profile of a backend"}, {CONF_BLOCK_limit, "limit of a listener"},
	    {CONF_BLOCK_transport, "transport of a domain or a backend"}};
	char label[CONF_LABEL];
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(kinds); i++) {
		for (k = 0; k < conf_block_count(b->conf, kinds[i].kind); k++) {
			void *block = conf_block_at(b->conf, kinds[i].kind, k);

			if (b->referenced[kinds[i].kind][k])
				continue;
			conf_label(
			    kinds[i].kind, *conf_block_title(kinds[i].kind, block), NULL, label);
			conf_warn(b, *conf_block_where(kinds[i].kind, block),
			    "%s is not used; name it in %s, or remove it", label, kinds[i].by);
		}
	}
}

/* Domains that we own but have no way for, and routes that hide others. */
static void
check_domains(struct conf_builder *b)
{
	struct conf *c = b->conf;
	const struct conf_domain_info *info;
	const struct conf_domain *any;
	char ascii[ADDR_DOMAIN_MAX + 1];
	size_t i, j;

	for (i = 0; i < c->n_ou; i++) {
		const struct conf_ou *ou = &c->ou_blocks[i];

		for (j = 0; j < ou->domains.n; j++) {
			if (addr_domain_ascii(span_of(ou->domains.v[j]), ascii) == -1)
				continue;
			info = conf_map_get(&c->index->domains, 0, ascii);
			if (info != NULL && info->block == NULL && info->alias == NULL)
				conf_warn(b, ou->domains.where,
				    "ou \"%s\": there is no domain block for %s, so nothing says "
				    "how its "
				    "mail is delivered; add domain \"%s\" { transport = ... }",
				    ou->title, ascii, ascii);
		}
	}
	for (i = 0; i < c->n_domain; i++) {
		any = &c->domain_blocks[i];
		for (j = 0; any->is_any && j < any->listeners.n; j++) {
			size_t k;

			for (k = 0; k < c->n_domain; k++)
				if (!c->domain_blocks[k].is_any &&
				    c->domain_blocks[k].listeners.n == 0)
					break;
			if (k < c->n_domain)
				conf_warn(b, any->listeners.where,
				    "domain \"%s\": on listener \"%s\" it goes before domain "
				    "\"%s\", which "
				    "names no listener (S55); name the listener there too",
				    any->title, any->listeners.v[j], c->domain_blocks[k].title);
		}
	}
}

static bool
same_path(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* The record is only ever appended to, by the ledger: nothing else may stand in its file. */
static void
check_audit(struct conf_builder *b)
{
	const struct conf *c = b->conf;
	const struct conf_audit *a = c->audit;
	struct conf_where where = CONF_WHERE(a, audit, file);
	size_t i;

	conf_check_absolute(b, where, "audit", "file", a->file);
	conf_check_absolute(b, CONF_WHERE(a, audit, key), "audit", "key", a->key);
	if (a->file == NULL && a->syslog != 0 /* off */)
		conf_warn(b, CONF_WHERE(a, audit, syslog),
		    "audit: nothing is recorded without file = \"/PATH\": syslog gets copies of "
		    "what stands there");
	if (same_path(a->file, a->key))
		conf_error(b, CONF_WHERE(a, audit, key),
		    "audit: key = \"%s\" is the record's own file, which would show the key; name "
		    "another one",
		    a->key);
	for (i = 0; i < c->log->targets.n; i++)
		if (strncmp(c->log->targets.v[i], "file:", 5) == 0 &&
		    same_path(a->file, c->log->targets.v[i] + 5))
			conf_error(b, where,
			    "audit: file = \"%s\" is the log's file, too; name another one",
			    a->file);
	for (i = 0; i < c->n_backend; i++)
		if (same_path(a->file, c->backend_blocks[i].path))
			conf_error(b, where,
			    "audit: file = \"%s\" is the password file of backend \"%s\"; name "
			    "another one",
			    a->file, c->backend_blocks[i].title);
}

void
conf_check(struct conf_builder *b)
{
	struct conf *c = b->conf;
	char label[CONF_LABEL];
	size_t i;

	check_server(b);
	check_log(b);
	check_audit(b);
	for (i = 0; i < c->n_tls; i++) {
		const struct conf_tls *t = &c->tls_blocks[i];

		conf_label(CONF_BLOCK_tls, t->title, NULL, label);
		conf_check_absolute(
		    b, CONF_WHERE(t, tls, certificate), label, "certificate", t->certificate);
		conf_check_absolute(b, CONF_WHERE(t, tls, key), label, "key", t->key);
	}
	conf_check_ldap(b);
	for (i = 0; i < c->n_backend; i++)
		conf_check_backend(b, &c->backend_blocks[i]);
	for (i = 0; i < c->n_ou; i++)
		check_ou(b, &c->ou_blocks[i]);
	for (i = 0; i < c->n_user; i++)
		check_user(b, &c->user_blocks[i]);
	for (i = 0; i < c->n_transport; i++)
		conf_check_transport(b, &c->transport_blocks[i]);
	conf_check_certs(b);
	conf_check_listeners(b);
	conf_check_flows(b);
	check_domains(b);
	check_unreferenced(b);
}
