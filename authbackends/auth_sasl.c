/* SPDX-License-Identifier: ISC */
/*
 * PLAIN and LOGIN through Cyrus SASL (P3, S39, LIBRARIES 2): two plug-ins loaded by
 * name, no file of the system read, a look at all octets before the library has
 * them. Process auth, in the loop: nothing here blocks. Must never take the
 * library's word for who somebody is, and never log what the library says about
 * what it was given.
 */
#include "authbackends/auth_sasl.h"

#include "authbackends/authbackend.h"
#include "authbackends/sasl_precheck.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sasl_lib.h"
#include "base/str.h"

#include <dlfcn.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdlib.h>
#include <string.h>

/* sasl/sasl.h wants callbacks as a pointer to a function without a prototype. */
#define CALLBACK(fn) ((int (*)(void))(void (*)(void))(fn))

enum mech {
	MECH_NONE = 0,
	MECH_PLAIN = 1,
	MECH_LOGIN = 2,
};

static const struct {
	const char *name, *file;
} plugins[] = {
    [MECH_PLAIN] = {"PLAIN", "libplain.so.2"},
    [MECH_LOGIN] = {"LOGIN", "liblogin.so.2"},
};

struct auth_sasl {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[2];
	enum mech mech;
	unsigned step; /* responses taken */
	bool captured; /* our verifier was called */
	bool over;     /* no further step is taken */
	struct buf challenge;
	char login[AUTH_NAME_MAX + 1], authzid[AUTH_NAME_MAX + 1];
	struct secret password; /* as our verifier was given it */
	const char *reason;
};

static char *our_hostname;
static void *plugin_handles[ARRAY_LEN(plugins)];

/* ---- what the library asks of us ------------------------------------------------------------ */

static int
on_getopt(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	static const struct {
		const char *name, *value;
	} options[] = {
	    {"pwcheck_method", "none"},
	    {"auxprop_plugin", "submitd"},
	    {"canon_user_plugin", "INTERNAL"},
	    {"auto_transition", "no"},
	    {"mech_list", "PLAIN LOGIN"},
	    {"log_level", "3"},
	};
	size_t i;

	(void)context;
	(void)plugin;
	for (i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(option, options[i].name) == 0) {
			*result = options[i].value;
			if (len != NULL)
				*len = (unsigned)strlen(options[i].value);
			return SASL_OK;
		}
	return SASL_FAIL;
}

/* Its texts hold what clients sent: they are dropped, and only counted under -T auth. */
static int
on_log(void *context, int level, const char *message)
{
	(void)context;
	(void)message;
	if (log_tracing(TRACE_AUTH))
		log_trace(TRACE_AUTH, "libsasl2 noted something, level %d", level);
	return SASL_OK;
}

static int
on_getpath(void *context, const char **path)
{
	(void)context;
	*path = "/nonexistent"; /* plug-ins are given to the library one by one */
	return SASL_OK;
}

static int
on_getconfpath(void *context, char **path)
{
	(void)context;
	*path = strdup("/nonexistent"); /* freed by the library */
	return *path == NULL ? SASL_NOMEM : SASL_OK;
}

static int
on_verifyfile(void *context, const char *file, sasl_verify_type_t type)
{
	(void)context;
	(void)file;
	(void)type;
	return SASL_CONTINUE; /* skip: nothing is to be loaded by name */
}

/* Takes name and password, and says no: see auth_sasl.h. */
static int
on_checkpass(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned passlen,
    struct propctx *props)
{
	struct auth_sasl *x = context;

	(void)conn;
	(void)props;
	if (user == NULL || pass == NULL || strcmp(user, x->login) != 0)
		return SASL_BADAUTH; /* not the name that we looked at */
	secret_set(&x->password, pass, passlen);
	x->captured = true;
	return SASL_BADAUTH;
}

/* The library wants a source of user properties; ours has none. */
static int
auxprop_lookup(void *glob, sasl_server_params_t *sp, unsigned flags, const char *user, unsigned len)
{
	(void)glob;
	(void)sp;
	(void)flags;
	(void)user;
	(void)len;
	return SASL_OK;
}

static int
auxprop_init(const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **plug,
    const char *name)
{
	static char title[] = "submitd";
	static sasl_auxprop_plug_t ours = {.auxprop_lookup = auxprop_lookup, .name = title};

	(void)utils;
	(void)max_version;
	(void)name;
	*version = SASL_AUXPROP_PLUG_VERSION;
	*plug = &ours;
	return SASL_OK;
}

/* ---- once per process ------------------------------------------------------------------------ */

static int
add_plugin(size_t i)
{
	sasl_server_plug_init_t *init;
	void *h = sasl_lib_plugin(plugins[i].file);

	if (h == NULL)
		return -1;
	plugin_handles[i] = h;
	*(void **)(&init) = dlsym(h, "sasl_server_plug_init");
	if (init == NULL || sasl_server_add_plugin(plugins[i].name, init) != SASL_OK)
		return -1;
	return 0;
}

int
auth_sasl_open(const char *hostname, char *err, size_t errsize)
{
	static const sasl_callback_t callbacks[] = {
	    {SASL_CB_GETOPT, CALLBACK(on_getopt), NULL},
	    {SASL_CB_LOG, CALLBACK(on_log), NULL},
	    {SASL_CB_GETPATH, CALLBACK(on_getpath), NULL},
	    {SASL_CB_GETCONFPATH, CALLBACK(on_getconfpath), NULL},
	    {SASL_CB_VERIFYFILE, CALLBACK(on_verifyfile), NULL},
	    {SASL_CB_LIST_END, NULL, NULL},
	};
	size_t i;
	int r;

	sasl_lib_init();
	/* No application name: then no configuration file is looked for. */
	r = sasl_server_init(callbacks, NULL);
	if (r == SASL_OK)
		r = sasl_auxprop_add_plugin("submitd", auxprop_init);
	if (r != SASL_OK) {
		(void)str_printf(err, errsize, "Cyrus SASL: %s", sasl_errstring(r, NULL, NULL));
		return -1;
	}
	for (i = 1; i < ARRAY_LEN(plugins); i++)
		if (add_plugin(i) == -1) {
			(void)str_printf(err, errsize,
			    "Cyrus SASL: cannot load %s (package libsasl2-modules)",
			    plugins[i].file);
			return -1;
		}
	free(our_hostname);
	our_hostname = xstrdup(hostname);
	return 0;
}

void
auth_sasl_done(void)
{
	size_t i;

	sasl_done();
	for (i = 0; i < ARRAY_LEN(plugins); i++) {
		if (plugin_handles[i] != NULL)
			dlclose(plugin_handles[i]);
		plugin_handles[i] = NULL;
	}
	free(our_hostname);
	our_hostname = NULL;
}

void
auth_sasl_mechs(bool secure, struct buf *out)
{
	struct auth_sasl *x = auth_sasl_new(secure);
	const char *list;
	unsigned len;
	int n;

	if (x != NULL && sasl_listmech(x->conn, NULL, "", " ", "", &list, &len, &n) == SASL_OK)
		buf_add(out, list, len);
	auth_sasl_free(x);
}

/* ---- one exchange ------------------------------------------------------------------------------
 */

struct auth_sasl *
auth_sasl_new(bool secure)
{
	struct auth_sasl *x = xcallocarray(1, sizeof(*x));
	sasl_security_properties_t props = {.security_flags = SASL_SEC_NOANONYMOUS};
	sasl_ssf_t ssf = 256;

	x->reason = "";
	x->callbacks[0] =
	    (sasl_callback_t){SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(on_checkpass), x};
	x->callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	if (!secure)
		props.security_flags |= SASL_SEC_NOPLAINTEXT;
	/* The realm is NULL: "" would make "alice@" of "alice". */
	if (sasl_server_new("smtp", our_hostname, NULL, NULL, NULL, x->callbacks, 0, &x->conn) !=
		SASL_OK ||
	    sasl_setprop(x->conn, SASL_SEC_PROPS, &props) != SASL_OK ||
	    (secure && sasl_setprop(x->conn, SASL_SSF_EXTERNAL, &ssf) != SASL_OK)) {
		auth_sasl_free(x);
		return NULL;
	}
	return x;
}

void
auth_sasl_free(struct auth_sasl *x)
{
	if (x == NULL)
		return;
	if (x->conn != NULL)
		sasl_dispose(&x->conn);
	secret_clear(&x->password);
	buf_wipe(&x->challenge);
	explicit_bzero(x, sizeof(*x));
	free(x);
}

static enum sasl_outcome
end(struct auth_sasl *x, enum sasl_outcome outcome, const char *reason)
{
	x->over = true;
	x->reason = reason;
	return outcome;
}

/* Looks at a response before the library does. */
static enum precheck
look_at(struct auth_sasl *x, struct span s, const char **why)
{
	struct sasl_plain plain;
	enum precheck result;

	if (x->mech == MECH_LOGIN && x->step > 0)
		return sasl_precheck_password(s, why);
	if (x->mech == MECH_LOGIN) {
		if ((result = sasl_precheck_name(s, why)) == PRE_OK)
			(void)str_copy_span(x->login, sizeof(x->login), s);
		return result;
	}
	result = sasl_precheck_plain(s, &plain, why);
	if (result == PRE_MALFORMED)
		return result;
	/* kept for the record even when refused, unless the name itself is bad */
	if (sasl_precheck_name(plain.authcid, &(const char *){NULL}) == PRE_OK)
		(void)str_copy_span(x->login, sizeof(x->login), plain.authcid);
	if (plain.authzid.n > 0 &&
	    sasl_precheck_name(plain.authzid, &(const char *){NULL}) == PRE_OK)
		(void)str_copy_span(x->authzid, sizeof(x->authzid), plain.authzid);
	return result;
}

static enum sasl_outcome
take(struct auth_sasl *x, int r, const char *out, unsigned outlen)
{
	if (x->captured)
		return end(x, SASL_OUT_CREDENTIALS, "");
	if (r == SASL_CONTINUE) {
		buf_reset(&x->challenge);
		buf_add(&x->challenge, out == NULL ? "" : out, out == NULL ? 0 : outlen);
		return SASL_OUT_CHALLENGE;
	}
	if (r == SASL_NOMEM || r == SASL_FAIL)
		return end(x, SASL_OUT_FAILED, "the SASL library failed");
	if (r == SASL_NOMECH || r == SASL_TOOWEAK || r == SASL_ENCRYPT)
		return end(x, SASL_OUT_NO_MECH, "the mechanism is not available here");
	return end(x, SASL_OUT_MALFORMED, "the SASL library refused the message");
}

enum sasl_outcome
auth_sasl_start(struct auth_sasl *x, struct span mech, const struct span *initial)
{
	const char *out = NULL, *why = "";
	unsigned outlen = 0;
	size_t i;
	int r;

	for (i = 1; i < ARRAY_LEN(plugins); i++)
		if (span_eq_nocase(mech, plugins[i].name))
			x->mech = (enum mech)i;
	if (x->mech == MECH_NONE || x->over)
		return end(x, SASL_OUT_NO_MECH, "no such mechanism");
	/* "=": an empty initial response (RFC 4954, 4); LOGIN has none, some clients send it */
	if (initial != NULL && initial->n == 0 && x->mech == MECH_LOGIN)
		initial = NULL;
	if (initial != NULL) {
		switch (look_at(x, *initial, &why)) {
		case PRE_OK:
			break;
		case PRE_MALFORMED:
			return end(x, SASL_OUT_MALFORMED, why);
		case PRE_REFUSED:
			return end(x, SASL_OUT_REFUSED, why);
		}
		x->step++;
	}
	r = sasl_server_start(x->conn, plugins[x->mech].name, initial == NULL ? NULL : initial->p,
	    initial == NULL ? 0 : (unsigned)initial->n, &out, &outlen);
	return take(x, r, out, outlen);
}

enum sasl_outcome
auth_sasl_step(struct auth_sasl *x, struct span response)
{
	const char *out = NULL, *why = "";
	unsigned outlen = 0;
	int r;

	if (x->over || x->mech == MECH_NONE || x->step >= 2)
		return end(x, SASL_OUT_MALFORMED, "no response was asked for");
	switch (look_at(x, response, &why)) {
	case PRE_OK:
		break;
	case PRE_MALFORMED:
		return end(x, SASL_OUT_MALFORMED, why);
	case PRE_REFUSED:
		return end(x, SASL_OUT_REFUSED, why);
	}
	x->step++;
	r = sasl_server_step(x->conn, response.p, (unsigned)response.n, &out, &outlen);
	return take(x, r, out, outlen);
}

struct span
auth_sasl_challenge(const struct auth_sasl *x)
{
	return buf_span(&x->challenge);
}

const char *
auth_sasl_mech(const struct auth_sasl *x)
{
	return x->mech == MECH_NONE ? "" : plugins[x->mech].name;
}

const char *
auth_sasl_login(const struct auth_sasl *x)
{
	return x->login;
}

const char *
auth_sasl_authzid(const struct auth_sasl *x)
{
	return x->authzid;
}

const char *
auth_sasl_reason(const struct auth_sasl *x)
{
	return x->reason;
}

struct secret *
auth_sasl_password(struct auth_sasl *x)
{
	return &x->password;
}
