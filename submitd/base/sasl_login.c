/* SPDX-License-Identifier: ISC */
/*
 * Logging in elsewhere through the client's side of Cyrus SASL (LIBRARIES 2). Plug-ins are given to
 * the library one by one, no file of the system is read, and the mechanism is chosen by the caller,
 * never by the library. Process auth, on worker threads. Must never log what the library says.
 */
#include "base/sasl_login.h"

#include "base/list.h"
#include "base/sasl_lib.h"
#include "base/str.h"

#include <dlfcn.h>
#include <errno.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define STEPS_MAX 4u /* SCRAM takes three */

static const struct {
	const char *name, *file;
} plugins[] = {
    {"PLAIN", "libplain.so.2"},
    {"LOGIN", "liblogin.so.2"},
    {"CRAM-MD5", "libcrammd5.so.2"},
    {"SCRAM", "libscram.so.2"},
};

struct sasl_login {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	const char *mech;
	char *user;
	sasl_secret_t *password;
	size_t password_size; /* of the allocation */
	unsigned steps;
	bool done;
	const char *error;
};

/* ---- what the library asks of us ------------------------------------------------------------- */

static int
on_getopt(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	(void)context;
	(void)plugin;
	if (strcmp(option, "canon_user_plugin") != 0)
		return SASL_FAIL;
	*result = "INTERNAL";
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
on_log(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message; /* holds what the server sent */
	return SASL_OK;
}

/* Who logs in; no other identity is asked for. */
static int
on_name(void *context, int id, const char **result, unsigned *len)
{
	struct sasl_login *x = context;

	*result = id == SASL_CB_AUTHNAME ? x->user : "";
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
on_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **result)
{
	struct sasl_login *x = context;

	(void)conn;
	if (id != SASL_CB_PASS)
		return SASL_BADPARAM;
	*result = x->password;
	return SASL_OK;
}

/* ---- once per process ------------------------------------------------------------------------ */

static bool is_open;

static int
add_plugin(size_t i)
{
	sasl_client_plug_init_t *init;
	void *h = sasl_lib_plugin(plugins[i].file); /* stays as long as the process */

	if (h == NULL)
		return -1;
	*(void **)(&init) = dlsym(h, "sasl_client_plug_init");
	if (init == NULL || sasl_client_add_plugin(plugins[i].name, init) != SASL_OK)
		return -1;
	return 0;
}

static int
open_library(char *err, size_t errsize)
{
	static const sasl_callback_t callbacks[] = {
	    {SASL_CB_GETOPT, SASL_LIB_CALLBACK(on_getopt), NULL},
	    {SASL_CB_LOG, SASL_LIB_CALLBACK(on_log), NULL},
	    {SASL_CB_GETPATH, SASL_LIB_CALLBACK(sasl_lib_getpath), NULL},
	    {SASL_CB_GETCONFPATH, SASL_LIB_CALLBACK(sasl_lib_getconfpath), NULL},
	    {SASL_CB_VERIFYFILE, SASL_LIB_CALLBACK(sasl_lib_verifyfile), NULL},
	    {SASL_CB_LIST_END, NULL, NULL},
	};
	int r;

	sasl_lib_init();
	r = sasl_client_init(callbacks);
	if (r != SASL_OK) {
		(void)str_printf(err, errsize, "Cyrus SASL: %s", sasl_errstring(r, NULL, NULL));
		return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++)
		if (add_plugin(i) == -1) {
			(void)str_printf(err, errsize,
			    "Cyrus SASL: cannot load %s (package libsasl2-modules)",
			    plugins[i].file);
			return -1;
		}
	return 0;
}

int
sasl_login_open(char *err, size_t errsize)
{
	if (!is_open && open_library(err, errsize) == -1)
		return -1;
	is_open = true;
	return 0;
}

/*
 * sasl_client_new() asks for the machine's own name and, when that has no dot, for its address:
 * a wait for DNS at each login, of unknown length, for a name that none of our mechanisms uses.
 * No option prevents it. But the library finds this gethostname() before that of libc: while an
 * exchange is made it hears a name with a dot, and whoever else asks hears what libc would say.
 */
static _Thread_local bool is_making;
int sasl_login_gethostname(char *name, size_t size) __asm__("gethostname");

int
sasl_login_gethostname(char *name, size_t size)
{
	struct utsname u;

	if (is_making)
		return str_copy(name, size, "client.invalid");
	if (uname(&u) == -1)
		return -1;
	if (str_copy(name, size, u.nodename) == 0)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static int
new_conn(const char *host, struct sasl_login *x)
{
	int r;

	is_making = true;
	r = sasl_client_new("smtp", host, NULL, NULL, x->callbacks, 0, &x->conn);
	is_making = false;
	return r;
}

struct sasl_login *
sasl_login_new(const char *mech, const char *host, const char *user, const struct secret *password)
{
	struct sasl_login *x = xcallocarray(1, sizeof(*x));
	sasl_security_properties_t props = {.security_flags = SASL_SEC_NOANONYMOUS};

	x->error = "";
	x->mech = mech;
	x->user = xstrdup(user);
	x->password_size = sizeof(*x->password) + password->len + 1;
	x->password = xmalloc(x->password_size);
	memset(x->password, 0, x->password_size);
	x->password->len = password->len;
	if (password->len > 0)
		memcpy(x->password->data, password->data, password->len);
	x->callbacks[0] = (sasl_callback_t){SASL_CB_USER, SASL_LIB_CALLBACK(on_name), x};
	x->callbacks[1] = (sasl_callback_t){SASL_CB_AUTHNAME, SASL_LIB_CALLBACK(on_name), x};
	x->callbacks[2] = (sasl_callback_t){SASL_CB_PASS, SASL_LIB_CALLBACK(on_password), x};
	x->callbacks[3] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	if (new_conn(host, x) != SASL_OK ||
	    sasl_setprop(x->conn, SASL_SEC_PROPS, &props) != SASL_OK) {
		sasl_login_free(x);
		return NULL;
	}
	return x;
}

void
sasl_login_free(struct sasl_login *x)
{
	if (x == NULL)
		return;
	if (x->conn != NULL)
		sasl_dispose(&x->conn);
	explicit_bzero(x->password, x->password_size);
	free(x->password);
	free(x->user);
	free(x);
}

static int
fail(struct sasl_login *x, const char *why)
{
	x->error = why;
	x->done = false;
	x->steps = STEPS_MAX;
	return -1;
}

static int
take(struct sasl_login *x, int r)
{
	switch (r) {
	case SASL_OK:
		x->done = true;
		return 0;
	case SASL_CONTINUE:
		return 0;
	case SASL_BADSERV:
		return fail(x, "the server does not prove that it knows the password");
	case SASL_BADPROT:
	case SASL_BADPARAM:
		return fail(x, "the server's challenge makes no sense");
	default:
		return fail(x, "the SASL library cannot go on");
	}
}

int
sasl_login_start(struct sasl_login *x, struct buf *initial, bool *has_initial)
{
	const char *out = NULL, *mech = NULL;
	unsigned n = 0;
	int r;

	r = sasl_client_start(x->conn, x->mech, NULL, &out, &n, &mech);
	if (take(x, r) == -1)
		return -1;
	*has_initial = out != NULL;
	if (out != NULL)
		buf_add(initial, out, n);
	return 0;
}

/* "r=...,s=...,i=4096": a lying server must not make us compute for hours. */
static bool
is_cheap(struct span challenge)
{
	while (challenge.p != NULL) {
		struct span word = span_cut(&challenge, ',');
		uint64_t n;

		if (word.n > 2 && word.p[0] == 'i' && word.p[1] == '=' &&
		    span_to_u64((struct span){word.p + 2, word.n - 2}, 1, SASL_LOGIN_ITERATIONS_MAX,
			&n) == -1)
			return false;
	}
	return true;
}

int
sasl_login_step(struct sasl_login *x, struct span challenge, struct buf *response)
{
	bool is_scram = strncmp(x->mech, "SCRAM-", 6) == 0;
	const char *out = NULL;
	char copy[1024] = "";
	unsigned n = 0;

	if (x->done || ++x->steps > STEPS_MAX)
		return fail(x, "the server asks for more than the mechanism has");
	/* RFC 5802, 5.1: why the server says no; the no itself is what it says next */
	if (is_scram && span_starts_nocase(challenge, "e=")) {
		x->steps = STEPS_MAX;
		return 0;
	}
	if (is_scram && !is_cheap(challenge))
		return fail(x, "the server asks for too many SCRAM iterations");
	/* plug-ins look for a NUL behind the end, which base64 does not promise */
	if (challenge.n >= sizeof(copy) || memchr(challenge.p, '\0', challenge.n) != NULL)
		return fail(x, "the server's challenge makes no sense");
	memcpy(copy, challenge.p, challenge.n);
	if (take(x, sasl_client_step(x->conn, copy, (unsigned)challenge.n, NULL, &out, &n)) == -1)
		return -1;
	if (out != NULL)
		buf_add(response, out, n);
	return 0;
}

bool
sasl_login_is_done(const struct sasl_login *x)
{
	return x->done;
}

const char *
sasl_login_error(const struct sasl_login *x)
{
	return x->error;
}
