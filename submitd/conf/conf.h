/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONF_CONF_H
#define SUBMITD_CONF_CONF_H

#include "base/buf.h"
#include "base/net.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The configuration, checked and resolved. Code reads `const struct conf`.
 *
 * libconfuse reads the text in an unprivileged child (conf_parse.c), which answers
 * with a raw form: blocks, options and texts with their places. conf_build() makes
 * the structs from the raw form, in every process by the same code.
 */
struct conf_where {
	const char *file; /* lives as long as the conf */
	unsigned line;
};
struct conf_list {
	char **v;
	size_t n;
	struct conf_where where; /* of the option; line 0 when not given */
};
struct conf_ints {
	int64_t *v;
	size_t n;
};
/* "5/10m": so many of something within a time. */
struct conf_rate {
	uint32_t n; /* at least 1 */
	int64_t ms;
};
#define CONF_RATES_MAX 4
struct conf_rates {
	struct conf_rate v[CONF_RATES_MAX]; /* each with a window of its own */
	size_t n;
};
struct conf_host {
	char *host; /* name or address literal without [] */
	uint16_t port;
};

/* Words of the ENUM options, in the order of their values from 0. */
#define CONF_ENUM_log_format "text", "json"
#define CONF_ENUM_log_level "error", "warn", "info", "debug" /* as enum log_level */
#define CONF_ENUM_audit_unknown_names "hash", "clear"
#define CONF_ENUM_audit_on_full "tempfail", "gap"
#define CONF_ENUM_audit_syslog                                                                     \
	"off", "auth", "authpriv", "daemon", "mail", "user", "local0", "local1", "local2",         \
	    "local3", "local4", "local5", "local6", "local7"
#define CONF_ENUM_tls_min_version "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"
#define CONF_ENUM_backend_type "internal", "file", "http", "ldap", "smtp", "oauth"
#define CONF_ENUM_backend_method "GET", "POST"
#define CONF_ENUM_backend_auth "none", "basic"
#define CONF_ENUM_backend_content_type "form", "json"
#define CONF_ENUM_backend_tls "none", "require", "require_verify"
#define CONF_ENUM_auth_flow_on_no "next", "stop"
#define CONF_ENUM_auth_flow_on_unavailable "tempfail", "next"
#define CONF_ENUM_ou_auth_user_mode "off", "allow", "deny"
#define CONF_ENUM_listener_auth_ip_mode "off", "allow", "deny"
#define CONF_ENUM_listener_auth_user_mode "off", "allow", "deny"
#define CONF_ENUM_user_smtp_auth "off", "any_sender", "matching_sender"
#define CONF_ENUM_listener_role "submission", "relay"
#define CONF_ENUM_listener_tls "off", "starttls", "implicit"
#define CONF_ENUM_listener_auth "off", "on", "encrypted"
#define CONF_ENUM_transport_mode "inbound", "outbound"
#define CONF_ENUM_transport_order "listed", "numeric"
#define CONF_ENUM_transport_tls "none", "opportunistic", "require", "require_verify", "implicit"
#define CONF_ENUM_transport_on_give_up "dsn", "discard"

enum { AUDIT_FULL_TEMPFAIL = 0, AUDIT_FULL_GAP = 1 };
enum { UNKNOWN_NAMES_HASH = 0, UNKNOWN_NAMES_CLEAR = 1 };
enum {
	BACKEND_INTERNAL = 0,
	BACKEND_FILE = 1,
	BACKEND_HTTP = 2,
	BACKEND_LDAP = 3,
	BACKEND_SMTP = 4,
	BACKEND_OAUTH = 5
};
enum { HTTP_GET = 0, HTTP_POST = 1 };
enum { HTTP_AUTH_NONE = 0, HTTP_AUTH_BASIC = 1 };
enum { HTTP_FORM = 0, HTTP_JSON = 1 };
enum { BACKEND_TLS_NONE = 0, BACKEND_TLS_REQUIRE = 1, BACKEND_TLS_REQUIRE_VERIFY = 2 };
enum { FLOW_NO_NEXT = 0, FLOW_NO_STOP = 1 };
enum { FLOW_UNAVAILABLE_TEMPFAIL = 0, FLOW_UNAVAILABLE_NEXT = 1 };
enum { FILTER_OFF = 0, FILTER_ALLOW = 1, FILTER_DENY = 2 };
enum { SMTP_AUTH_OFF = 0, SMTP_AUTH_ANY_SENDER = 1, SMTP_AUTH_MATCHING_SENDER = 2 };
enum { LISTENER_SUBMISSION = 0, LISTENER_RELAY = 1 };
enum { LISTENER_TLS_OFF = 0, LISTENER_TLS_STARTTLS = 1, LISTENER_TLS_IMPLICIT = 2 };
enum { LISTENER_AUTH_OFF = 0, LISTENER_AUTH_ON = 1, LISTENER_AUTH_ENCRYPTED = 2 };
enum { TRANSPORT_ORDER_LISTED = 0, TRANSPORT_ORDER_NUMERIC = 1 };
enum {
	TRANSPORT_TLS_NONE = 0,
	TRANSPORT_TLS_OPPORTUNISTIC = 1,
	TRANSPORT_TLS_REQUIRE = 2,
	TRANSPORT_TLS_REQUIRE_VERIFY = 3,
	TRANSPORT_TLS_IMPLICIT = 4, /* and verified */
};
enum { GIVE_UP_DSN = 0, GIVE_UP_DISCARD = 1 };

#define CONF_TOLERATE_BARE_LF 1u
#define CONF_TOLERATE_EMPTY_HELO 2u
#define CONF_TOLERATE_ADDR_SPACE 4u
#define CONF_TOLERATE_AUTH_INLINE 8u
#define CONF_TOLERATE_EARLY_QUIT 16u
#define CONF_TOLERATE_LONG_LINES 32u
#define CONF_TOLERATE_NUL 64u

#define CONF_FIELD_BOOL bool
#define CONF_FIELD_INT int64_t
#define CONF_FIELD_TIME int64_t
#define CONF_FIELD_SIZE int64_t
#define CONF_FIELD_STR char *
#define CONF_FIELD_ENUM int
#define CONF_FIELD_REF char *
#define CONF_FIELD_LIST struct conf_list
#define CONF_FIELD_REFLIST struct conf_list
#define CONF_FIELD_INTLIST struct conf_ints

/* struct conf_server, struct conf_listener, ...: where, title, then the options. */
#define BLOCK(name, titled, min, max)                                                              \
	struct conf_##name {                                                                       \
		struct conf_where where;                                                           \
		char *title; /* NULL for untitled blocks */                                        \
		struct conf_where                                                                  \
		    *option_where; /* per option, in the table's order; line 0: default */
#define OPT(block, name, type, def, min, max, help) CONF_FIELD_##type name;
#define EXTRA(...) __VA_ARGS__
#define END(name)                                                                                  \
	}                                                                                          \
	;
struct conf_ou;
struct conf_domain;
struct conf_transport;
struct conf_tls;
struct conf_auth_flow;
struct conf_limit;
struct conf_ldap;
struct pattern_list;
#include "conf/conf_options.def"
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END

/* Index of an option in option_where: CONF_OPT_listener_relay_ou and so on. */
#define BLOCK(name, titled, min, max)                                                              \
	enum conf_option_##name                                                                    \
	{
#define OPT(block, name, type, def, min, max, help) CONF_OPT_##block##_##name,
#define EXTRA(...)
#define END(name)                                                                                  \
	CONF_OPT_##name##__MAX                                                                     \
	}                                                                                          \
	;
#include "conf/conf_options.def"
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END

/* The kinds of blocks: CONF_BLOCK_listener and so on. */
#define BLOCK(name, titled, min, max) CONF_BLOCK_##name,
#define OPT(block, name, type, def, min, max, help)
#define EXTRA(...)
#define END(name)
enum conf_kind {
#include "conf/conf_options.def"
	CONF_BLOCK__MAX
};
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END

struct conf {
	/* conf->listeners[0..n_listeners-1] and so on; untitled blocks always exist once */
#define BLOCK(name, titled, min, max)                                                              \
	struct conf_##name *name##_blocks;                                                         \
	size_t n_##name;
#define OPT(block, name, type, def, min, max, help)
#define EXTRA(...)
#define END(name)
#include "conf/conf_options.def"
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END
	struct conf_server *server; /* = server_blocks */
	struct conf_log *log;
	struct conf_auth_guard *auth_guard;
	struct conf_audit *audit; /* ->file NULL: no audit */
	struct conf_history *history;
	char *file;                     /* main file */
	uint64_t generation;            /* set by the supervisor */
	struct conf_index *index;       /* look-up tables, see below */
	struct conf_patterns *patterns; /* all compiled lists, for conf_free() */
	void *arena;
};

/* One finding of the check. Errors keep the configuration from being used. */
struct conf_finding {
	bool error; /* else a warning */
	struct conf_where where;
	char *text; /* what is wrong, what was read, what would be right */
};
struct conf_findings {
	struct conf_finding *v;
	size_t n, cap, errors; /* at most CONF_FINDINGS_MAX are kept, errors counts all */
	char **files;          /* names that where.file points to: they outlive the conf */
	size_t n_files;
};
#define CONF_FINDINGS_MAX 1000
/* Adds one; the text says what was read and what would be right. The file name is copied. */
void conf_findings_add(struct conf_findings *, bool error, struct conf_where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Sorts by file (in the order they were read) and line. */
void conf_findings_sort(struct conf_findings *);
void conf_findings_clear(struct conf_findings *);
/* "file:line: error: text" (or warning). */
void conf_finding_format(const struct conf_finding *, struct buf *out);

/*
 * Reads the file with all it includes into the raw form (bytes). Collects findings.
 * 0 when the raw form is complete enough for conf_build, -1 when not even that.
 */
int conf_parse_file(const char *path, struct buf *raw, struct conf_findings *);
/* The embedded defaults of `make demo` and tests come as text. */
int conf_parse_text(const char *name, const char *text, struct buf *raw, struct conf_findings *);
/*
 * Structs from the raw form, defaults filled in, references resolved, every cross check made.
 * NULL when findings->errors != 0. Never touches the file system.
 */
struct conf *conf_build(struct span raw, struct conf_findings *);
/* The largest file of a backend with type = file, in octets: room for some million users (S44). */
#define CONF_USERS_FILE_MAX (512u << 20)
/*
 * What needs the file system: certificates and keys that fit and are not expired, secret files
 * that can be read, directories that exist. Adds findings.
 */
void conf_check_files(const struct conf *, struct conf_findings *);
void conf_free(struct conf *); /* NULL is fine */

/* Look-ups, all by exact title or ASCII lower-case domain; NULL when there is none. */
const struct conf_listener *conf_listener_find(const struct conf *, const char *title);
/* Deliveries over it are made to a host with the right certificate only. */
bool conf_transport_verifies(const struct conf_transport *);
const struct conf_transport *conf_transport_find(const struct conf *, const char *title);
const struct conf_ou *conf_ou_find(const struct conf *, const char *title);
/* Whatever the case and form of letters (addr_fold()); also by the name of a domain_alias (S57: it
 * inherits everything). */
const struct conf_user *conf_user_find(const struct conf *, const char *address);
/* The same mailbox in the parent's domain, where its domain is an alias; else -1. */
int conf_alias_address(const struct conf *, const char *address, char *out, size_t size);
/*
 * The form of a user's name under which he is counted (A7): the same for all spellings that
 * differ in case, Unicode's form, blanks, the final dot or the kind of labels of the domain, and
 * for an alias of the domain (S57). What is too long or has a NUL is cut, what is no UTF-8 is lower
 * case only.
 */
#define CONF_USER_KEY 800
void conf_user_key(const struct conf *, struct span name, char out[CONF_USER_KEY]);
const struct conf_backend *conf_backend_find(const struct conf *, const char *title);
/* The OU that owns a domain (by ou.domains, a domain block's ou, or its alias parent's). */
const struct conf_ou *conf_ou_of_domain(const struct conf *, const char *ascii_domain);
/* The domain stands in an ou, domain or domain_alias block: "internal" (DESIGN 5). */
bool conf_domain_is_internal(const struct conf *, const char *ascii_domain);
/*
 * The domain block for a recipient on a listener: blocks that name the listener before those that
 * do not, then a named domain before "any" (S55). *is_any tells which. An alias gives its parent.
 */
const struct conf_domain *conf_domain_route(
    const struct conf *, const char *listener, const char *ascii_domain, bool *is_any);

#endif
