/* SPDX-License-Identifier: ISC */
/*
 * The library Cyrus SASL (LIBRARIES 2): its set-up with plug-ins loaded by name and
 * no file of the system read, and one connection of it. Process auth, in the loop:
 * nothing here blocks. Must never log what the library says about what it was given.
 */
#include "authbackends/sasl_cyrus.h"

#include "base/list.h"
#include "base/log.h"
#include "base/sasl_lib.h"
#include "base/scram.h"
#include "base/str.h"

#include <dlfcn.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdlib.h>
#include <string.h>

/* Our own, by which the source of properties finds its exchange. */
#define OUR_CALLBACK 0x9001

static const struct {
	const char *name, *file;
} plugins[] = {
    {"PLAIN", "libplain.so.2"},
    {"LOGIN", "liblogin.so.2"},
    {"SCRAM", "libscram.so.2"},
};

struct sasl_cyrus {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[3];
	char user[AUTH_NAME_MAX + 1];
	char entry[SCRAM_TEXT]; /* keys of that user, "" without */
	bool captured;          /* our verifier was called */
	struct secret password; /* as our verifier was given it */
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
	    {"mech_list", "PLAIN LOGIN SCRAM-SHA-256"},
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

/* Takes the password, and says no: see sasl_cyrus.h. */
static int
on_checkpass(sasl_conn_t *conn, void *context, const char *user, const char *pass, unsigned passlen,
    struct propctx *props)
{
	struct sasl_cyrus *x = context;

	(void)conn;
	(void)props;
	if (user == NULL || pass == NULL || strcmp(user, x->user) != 0)
		return SASL_BADAUTH; /* not the name that we looked at */
	secret_set(&x->password, pass, passlen);
	x->captured = true;
	return SASL_BADAUTH;
}

/*
 * The library asks for the properties of a user: SCRAM gets the keys that were given to
 * us, for the name that we looked at and nobody else.
 */
static int
auxprop_lookup(void *glob, sasl_server_params_t *sp, unsigned flags, const char *user, unsigned len)
{
	const struct propval *p = sp->utils->prop_get(sp->propctx);
	sasl_callback_ft proc;
	void *context = NULL;
	struct sasl_cyrus *x;

	(void)glob;
	(void)flags;
	if (sp->utils->getcallback(sp->utils->conn, OUR_CALLBACK, &proc, &context) != SASL_OK ||
	    context == NULL)
		return SASL_OK;
	x = context;
	if (x->entry[0] == '\0' || len != strlen(x->user) || memcmp(user, x->user, len) != 0)
		return SASL_OK;
	for (; p != NULL && p->name != NULL; p++)
		if (strcmp(p->name, "*authPassword") == 0 && p->values == NULL)
			(void)sp->utils->prop_set(
			    sp->propctx, p->name, x->entry, (int)strlen(x->entry));
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
sasl_cyrus_open(const char *hostname, char *err, size_t errsize)
{
	static const sasl_callback_t callbacks[] = {
	    {SASL_CB_GETOPT, SASL_LIB_CALLBACK(on_getopt), NULL},
	    {SASL_CB_LOG, SASL_LIB_CALLBACK(on_log), NULL},
	    {SASL_CB_GETPATH, SASL_LIB_CALLBACK(sasl_lib_getpath), NULL},
	    {SASL_CB_GETCONFPATH, SASL_LIB_CALLBACK(sasl_lib_getconfpath), NULL},
	    {SASL_CB_VERIFYFILE, SASL_LIB_CALLBACK(sasl_lib_verifyfile), NULL},
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
	for (i = 0; i < ARRAY_LEN(plugins); i++)
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
sasl_cyrus_done(void)
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

/* ---- one connection ---------------------------------------------------------------------------
 */

struct sasl_cyrus *
sasl_cyrus_new(void)
{
	struct sasl_cyrus *x = xcallocarray(1, sizeof(*x));
	sasl_security_properties_t props = {.security_flags = SASL_SEC_NOANONYMOUS};
	sasl_ssf_t ssf = 256; /* TLS and who may do without it is our matter, not the library's */

	x->callbacks[0] =
	    (sasl_callback_t){SASL_CB_SERVER_USERDB_CHECKPASS, SASL_LIB_CALLBACK(on_checkpass), x};
	x->callbacks[1] = (sasl_callback_t){OUR_CALLBACK, SASL_LIB_CALLBACK(on_checkpass), x};
	x->callbacks[2] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	/* The realm is NULL: "" would make "alice@" of "alice". */
	if (sasl_server_new("smtp", our_hostname, NULL, NULL, NULL, x->callbacks, 0, &x->conn) !=
		SASL_OK ||
	    sasl_setprop(x->conn, SASL_SEC_PROPS, &props) != SASL_OK ||
	    sasl_setprop(x->conn, SASL_SSF_EXTERNAL, &ssf) != SASL_OK) {
		sasl_cyrus_free(x);
		return NULL;
	}
	return x;
}

void
sasl_cyrus_free(struct sasl_cyrus *x)
{
	if (x == NULL)
		return;
	if (x->conn != NULL)
		sasl_dispose(&x->conn);
	secret_clear(&x->password);
	explicit_bzero(x, sizeof(*x));
	free(x);
}

void
sasl_cyrus_user(struct sasl_cyrus *x, const char *name)
{
	(void)str_copy(x->user, sizeof(x->user), name);
}

void
sasl_cyrus_scram(struct sasl_cyrus *x, const char *entry)
{
	(void)str_copy(x->entry, sizeof(x->entry), entry);
}

static enum cyrus_result
take(struct sasl_cyrus *x, int r, const char *out, unsigned outlen, struct buf *challenge)
{
	if (x->captured)
		return CYRUS_PASSWORD;
	if (r == SASL_OK && x->entry[0] != '\0')
		return CYRUS_PROVEN;
	if (r == SASL_CONTINUE) {
		buf_reset(challenge);
		buf_add(challenge, out == NULL ? "" : out, out == NULL ? 0 : outlen);
		return CYRUS_CHALLENGE;
	}
	if (r == SASL_NOMEM || r == SASL_FAIL)
		return CYRUS_FAILED;
	if (r == SASL_BADAUTH || r == SASL_NOUSER)
		return CYRUS_REFUSED;
	if (r == SASL_NOMECH || r == SASL_TOOWEAK || r == SASL_ENCRYPT)
		return CYRUS_NO_MECH;
	return CYRUS_MALFORMED;
}

enum cyrus_result
sasl_cyrus_start(
    struct sasl_cyrus *x, const char *mech, const struct span *initial, struct buf *challenge)
{
	const char *out = NULL;
	unsigned outlen = 0;
	int r;

	r = sasl_server_start(x->conn, mech, initial == NULL ? NULL : initial->p,
	    initial == NULL ? 0 : (unsigned)initial->n, &out, &outlen);
	return take(x, r, out, outlen, challenge);
}

enum cyrus_result
sasl_cyrus_step(struct sasl_cyrus *x, struct span response, struct buf *challenge)
{
	const char *out = NULL;
	unsigned outlen = 0;
	int r;

	r = sasl_server_step(x->conn, response.p, (unsigned)response.n, &out, &outlen);
	return take(x, r, out, outlen, challenge);
}

struct secret *
sasl_cyrus_password(struct sasl_cyrus *x)
{
	return &x->password;
}
