/* SPDX-License-Identifier: ISC */
/*
 * Backend "ldap": binds to a directory as the user (S17, S43), with a name made from
 * the login, or found by a search (S67); reads his own addresses (C8). Process auth,
 * on workers. Must never send an empty password, take somebody else's entry for the
 * user's, or make a no out of a server that did not say no.
 */
#include "authbackends/authbackend.h"
#include "authbackends/ldap_profile.h"

#include "base/log.h"
#include "base/str.h"
#include "mail/addr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ldap.h>

enum { SENDERS = 0, NAMES = 1 }; /* in ldap_find.attrs */

struct ldap_backend {
	const struct conf_backend *conf;
	const struct conf_ldap *dir;
	struct ldap_profile *profile;
};

/* One check. */
struct question {
	struct ldap_backend *l;
	struct auth_check *c;
	struct ldap_ask ask;
	struct ldap_entry entry;
	/* the requests of one connection */
	const char *bind_name; /* NULL: none */
	const struct ldap_find *find;
	struct ldap_reply bound, found;
};

static void
say(void *arg, const char *line)
{
	auth_check_trace(arg, "%s", line);
}

/* The verdict with its reason; a misconfiguration is told the operator. */
static enum verdict
settle(struct question *q, const struct ldap_judgement *j)
{
	if (j->reason[0] != '\0')
		(void)str_copy(q->c->reason, sizeof(q->c->reason), j->reason);
	if (j->misconfigured)
		ldap_profile_misconfigured(q->l->profile, j->reason);
	return j->verdict;
}

static enum verdict
misconfigured(struct question *q, const char *reason)
{
	struct ldap_judgement j = {.verdict = V_TEMP, .misconfigured = true};

	(void)str_copy(j.reason, sizeof(j.reason), reason);
	q->c->answered = true;
	return settle(q, &j);
}

/* On one connection: the bind, then the search with its rights, as far as they are wanted. */
static int
work(struct ldap_conn *conn, struct ldap_ask *ask, void *arg)
{
	struct question *q = arg;
	int code = LDAP_SUCCESS;

	if (q->bind_name != NULL)
		code = ldap_conn_bind(conn, ask, q->bind_name, &q->c->password, &q->bound);
	if (code == LDAP_SUCCESS && q->find != NULL)
		code = ldap_conn_find(conn, ask, q->find, &q->entry, &q->found);
	return code;
}

/* V_OK where both requests were answered with a yes. */
static enum verdict
ask(struct question *q, enum ldap_use use, const char *bind_name, const struct ldap_find *find)
{
	struct ldap_judgement j;
	struct ldap_reply none;

	q->bind_name = bind_name;
	q->find = find;
	q->c->answered = false;
	q->bound = q->found = (struct ldap_reply){.code = LDAP_OTHER, .policy = LDAP_POLICY_NONE};
	if (!ldap_profile_run(q->l->profile, use, &q->ask, work, q, &none)) {
		ldap_judge_service(
		    none.code < 0 ? "no connection" : "bind_dn cannot log in", &none, &j);
		/* what libldap has no word for; of StartTLS it holds the server's own words */
		if (none.code < 0 && q->ask.why[0] != '\0')
			(void)str_printf(j.reason, sizeof(j.reason), "no connection: %.100s",
			    strncmp(q->ask.why, "StartTLS", 8) == 0 ? "StartTLS was refused"
								    : q->ask.why);
		j.misconfigured = false; /* was told where it was found */
		return settle(q, &j);
	}
	if (bind_name != NULL) {
		ldap_judge_bind(&q->bound, &j);
		q->c->answered = ldap_judge_is_answer(q->bound.code);
		if (j.verdict != V_OK || find == NULL)
			return settle(q, &j);
	}
	ldap_judge_service("search", &q->found, &j);
	q->c->answered = ldap_judge_is_answer(q->found.code);
	return settle(q, &j);
}

/* ---- what the entry says --------------------------------------------------------------------- */

/* Values like "SMTP:a@b" lose what stands before the address; other kinds are left out. */
static bool
value_address(struct span *v)
{
	size_t i;

	if (span_starts_nocase(*v, "smtp:")) {
		v->p += 5;
		v->n -= 5;
		return v->n > 0;
	}
	for (i = 0; i < v->n; i++) {
		if (v->p[i] == ':')
			return i == 0;
		if (!((v->p[i] >= 'a' && v->p[i] <= 'z') || (v->p[i] >= 'A' && v->p[i] <= 'Z') ||
			(v->p[i] >= '0' && v->p[i] <= '9')))
			break;
	}
	return true;
}

/* The one name: the only value, or the one that is what the user gave. */
static enum verdict
take_name(struct question *q)
{
	struct span rest = buf_span(&q->entry.values[NAMES]), v, only = {NULL, 0};
	size_t n = 0;

	while (rest.n > 0) {
		v = span_cut(&rest, '\0');
		if (!value_address(&v))
			continue;
		n++;
		only = v;
		if (addr_user_same(v, span_of(q->c->login)) ||
		    addr_user_same(v, span_of(q->c->address))) {
			n = 1;
			break;
		}
	}
	if (n == 0)
		return V_OK; /* the login, then */
	if (n > 1)
		return misconfigured(
		    q, "name_attribute has several values, and none is what the user gave");
	if (str_has_control(only) || !utf8_valid(only) ||
	    str_copy_span(q->c->name, sizeof(q->c->name), only) == -1) {
		q->c->name[0] = '\0';
		return misconfigured(q, "the value of name_attribute cannot be a name");
	}
	auth_check_trace(q->c, "name: %s", q->c->name);
	return V_OK;
}

static enum verdict
take_entry(struct question *q)
{
	struct span rest = buf_span(&q->entry.values[SENDERS]), v;

	while (rest.n > 0) {
		v = span_cut(&rest, '\0');
		if (!value_address(&v))
			continue;
		auth_check_add_own(q->c, v);
		if (utf8_valid(v) && !str_has_control(v))
			auth_check_trace(q->c, "own address: %.*s", (int)v.n, v.p);
	}
	return take_name(q);
}

/* ---- the two ways ---------------------------------------------------------------------------- */

/* Looks for the entry with a text for %s: V_OK one, V_NEXT none. */
static enum verdict
find_entry(struct question *q, enum ldap_use use, const char *bind_name, const char *value)
{
	char filter[LDAP_FILTER_MAX];
	const struct ldap_find find = {
	    .base = q->l->dir->base,
	    .filter = filter,
	    .attrs = {q->l->dir->senders_attribute, q->l->dir->name_attribute},
	};
	enum verdict v;

	if (ldap_filter_make(q->l->dir->filter, span_of(value), filter, sizeof(filter)) == -1)
		return misconfigured(q, "the filter becomes too long");
	v = ask(q, use, bind_name, &find);
	if (v != V_OK)
		return v;
	if (q->entry.n > 1)
		return misconfigured(q, "search: several entries match, it must find one");
	return q->entry.n == 0 ? V_NEXT : V_OK;
}

/* As given, then as completed by the listener's default_domain. */
static enum verdict
find_login(struct question *q, enum ldap_use use, const char *bind_name)
{
	enum verdict v = find_entry(q, use, bind_name, q->c->login);

	if (v == V_NEXT && q->c->address[0] != '\0' && strcmp(q->c->address, q->c->login) != 0)
		v = find_entry(q, use, bind_name, q->c->address);
	return v;
}

static enum verdict
check_by_search(struct question *q)
{
	enum verdict v = find_login(q, LDAP_AS_SERVICE, NULL);

	if (v != V_OK)
		return v;
	/* on another handle: a failed bind would leave the first one anonymous */
	v = ask(q, LDAP_AS_USER, q->entry.dn, NULL);
	return v == V_OK ? take_entry(q) : v;
}

/*
 * The entry of a user who has bound as name. A name that is no DN may mean another
 * entry to the server than to our filter (Active Directory takes display names): the
 * password must open what was found, too.
 */
static enum verdict
read_own_entry(struct question *q, const char *name)
{
	const struct conf_ldap *dir = q->l->dir;
	enum ldap_use use = dir->bind_dn != NULL ? LDAP_AS_SERVICE : LDAP_AS_USER;
	const char *bind_name = use == LDAP_AS_USER ? name : NULL;
	const struct ldap_find self = {
	    .base = name,
	    .only_base = true,
	    .filter = "(objectClass=*)",
	    .attrs = {dir->senders_attribute, dir->name_attribute},
	};
	enum verdict v;

	if (ldap_bind_as_is_dn(q->l->conf->bind_as)) {
		v = ask(q, use, bind_name, &self);
		if (v == V_OK && q->entry.n == 0)
			v = V_NEXT;
	} else {
		v = find_login(q, use, bind_name);
	}
	if (v == V_NEXT)
		return misconfigured(q, "the entry of a user who has logged in cannot be found");
	if (v == V_OK && !ldap_bind_as_is_dn(q->l->conf->bind_as)) {
		v = ask(q, LDAP_AS_USER, q->entry.dn, NULL);
		if (v == V_PERM)
			(void)str_copy(q->c->reason, sizeof(q->c->reason),
			    "the filter finds an entry that has another password");
	}
	return v == V_OK ? take_entry(q) : v;
}

static enum verdict
check_by_name(struct question *q)
{
	const struct conf_ldap *dir = q->l->dir;
	char name[LDAP_BIND_NAME_MAX];
	enum verdict v;

	if (ldap_bind_as_make(
		q->l->conf->bind_as, q->c->login, q->c->address, name, sizeof(name)) == -1) {
		(void)str_copy(q->c->reason, sizeof(q->c->reason),
		    errno == ENAMETOOLONG ? "bind_as becomes too long"
					  : "the login has not what bind_as needs");
		return V_PERM;
	}
	v = ask(q, LDAP_AS_USER, name, NULL);
	if (v != V_OK || (dir->senders_attribute == NULL && dir->name_attribute == NULL))
		return v;
	return read_own_entry(q, name);
}

static enum verdict
ldap_check(void *self, struct auth_check *c)
{
	struct question q = {
	    .l = self,
	    .c = c,
	    .ask = {.deadline_ms = c->deadline_ms, .say = c->want_trace ? say : NULL, .arg = c},
	};
	enum verdict v;

	if (c->password.len == 0 || memchr(c->password.data, '\0', c->password.len) != NULL) {
		(void)str_copy(
		    c->reason, sizeof(c->reason), "an empty password, or one with a NUL");
		return V_PERM;
	}
	v = q.l->conf->bind_as != NULL ? check_by_name(&q) : check_by_search(&q);
	(void)str_copy(c->tls_peer, sizeof(c->tls_peer), q.ask.tls_peer);
	ldap_entry_clear(&q.entry);
	return v;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
ldap_close(void *self)
{
	struct ldap_backend *l = self;

	ldap_profile_close(l->profile);
	free(l);
}

static int
ldap_backend_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	struct ldap_backend *l = xcallocarray(1, sizeof(*l));

	(void)conf;
	l->conf = block;
	l->dir = block->profile_block;
	l->profile = ldap_profile_open(l->dir, err, errsize);
	if (l->profile == NULL) {
		free(l);
		return -1;
	}
	*self = l;
	return 0;
}

/* S17: only a search can tell an unknown user from a wrong password. */
static bool
ldap_knows(const void *self)
{
	const struct ldap_backend *l = self;

	return l->conf->bind_as == NULL;
}

static void
ldap_tick(void *self, void (*want_file)(const char *path))
{
	struct ldap_backend *l = self;
	struct ldap_notice n;
	struct log_line line;

	(void)want_file;
	ldap_profile_tick(l->profile);
	while (ldap_profile_next_notice(l->profile, &n)) {
		log_begin(&line, n.level, EV_BACKEND);
		log_str(&line, LK_BACKEND_NAME, l->conf->title);
		log_str(&line, LK_HOST, n.uri);
		log_str(&line, LK_STATE, n.state);
		log_str(&line, LK_TEXT, n.text[0] != '\0' ? n.text : NULL);
		if (n.count > 1)
			log_u64(&line, LK_COUNT, n.count);
		log_end(&line);
	}
}

const struct authbackend authbackend_ldap = {
    .name = "ldap",
    .knows = ldap_knows,
    .remote = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .open = ldap_backend_open,
    .check = ldap_check,
    .close = ldap_close,
    .tick = ldap_tick,
};
