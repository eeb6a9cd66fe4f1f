/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONF_CONF_INTERNAL_H
#define SUBMITD_CONF_CONF_INTERNAL_H

/* What the files of conf/ share with each other and with nobody else. */

#include "conf/conf.h"

#define CONF_FILE_MAX (64u << 20) /* octets of one file */
#define CONF_FILES_MAX 20000u     /* files in all */
#define CONF_INCLUDE_DEPTH 10u    /* files in files */
#define CONF_STRING_MAX 8192u     /* octets of one text */
#define CONF_EXPIRY_WARN_DAYS 14  /* certificates */

/* ---- the table of options, as data (conf_table.c) ------------------------------------------ */
enum conf_type {
	CONF_TYPE_BOOL = 0,
	CONF_TYPE_INT = 1,
	CONF_TYPE_INTLIST = 2,
	CONF_TYPE_TIME = 3,
	CONF_TYPE_SIZE = 4,
	CONF_TYPE_STR = 5,
	CONF_TYPE_LIST = 6,
	CONF_TYPE_ENUM = 7,
	CONF_TYPE_REF = 8,
	CONF_TYPE_REFLIST = 9,
	CONF_TYPE__MAX
};
extern const char conf_required[]; /* as default: the option must be given */

struct conf_option_def {
	const char *name;
	const char *def;
	const char *const *words; /* ENUM: ends with NULL */
	const char *help;
	int64_t min, max;
	size_t offset; /* in the struct of the block */
	enum conf_type type;
};
struct conf_block_def {
	const char *name;
	const struct conf_option_def *opts;
	size_t n_opts;
	size_t size;                 /* of its struct */
	size_t array_at, count_at;   /* in struct conf */
	size_t title_at, options_at; /* in its struct; where is at 0 */
	unsigned min, max;
	bool titled;
};
extern const struct conf_block_def conf_blocks[CONF_BLOCK__MAX];

bool conf_type_is_list(enum conf_type);
size_t conf_type_size(enum conf_type);
/* Index, or -1. */
int conf_block_index(struct span name);
int conf_option_index(enum conf_kind, struct span name);
/* The nearest of the words, or NULL where none is near: "did you mean". */
const char *conf_nearest(struct span word, const char *const *words, size_t n);

/* ---- memory that lives as long as a conf (conf_arena.c) -------------------------------------- */
struct conf_arena;
struct conf_arena *conf_arena_new(void);
void conf_arena_free(struct conf_arena *);
void *conf_alloc(struct conf_arena *, size_t n, size_t size); /* zeroed */
char *conf_dup(struct conf_arena *, struct span);

/* A map from (tag, text) to a pointer; both live elsewhere. Made once for at most n entries. */
struct conf_map_slot {
	const char *key;
	void *value;
	uint32_t hash, tag;
};
struct conf_map {
	struct conf_map_slot *slots;
	size_t mask, used;
};
void conf_map_init(struct conf_map *, struct conf_arena *, size_t n);
void *conf_map_get(const struct conf_map *, uint32_t tag, const char *key);
/* NULL, or the value that is there already: nothing is changed then. */
void *conf_map_put(struct conf_map *, uint32_t tag, const char *key, void *value);

/* ---- the raw form: what the parser hands to conf_build (conf_raw.c) ----------------------------
 */
void conf_raw_begin(struct buf *, const char *const *files, size_t n_files);
void conf_raw_block(
    struct buf *, enum conf_kind, const char *title, uint32_t file, uint32_t line, unsigned n_opts);
void conf_raw_option(struct buf *, unsigned opt, uint32_t line, bool braces, uint32_t n_values);
void conf_raw_value(struct buf *, uint32_t line, struct span);

struct conf_raw_head {
	enum conf_kind kind;
	struct span title;
	uint32_t file, line;
	unsigned n_opts;
};
struct conf_raw_opt {
	unsigned opt;
	uint32_t line, n_values;
	bool braces; /* written as a list */
};
/* Readers over a checked or a hostile raw form; -1: it is damaged. */
int conf_raw_read_files(struct rd *, struct span **files, size_t *n); /* caller frees files */
bool conf_raw_more(const struct rd *);
int conf_raw_read_block(struct rd *, size_t n_files, struct conf_raw_head *);
int conf_raw_read_option(struct rd *, enum conf_kind, struct conf_raw_opt *);
int conf_raw_read_value(struct rd *, uint32_t *line, struct span *);

/* ---- the scan of a file before libconfuse (conf_scan.c) ----------------------------------------
 */
struct conf_scan_opt {
	unsigned opt;      /* index in the block's table */
	uint32_t line;     /* of its name */
	uint32_t n_values; /* with all += */
	uint32_t first;    /* index of its first value in lines */
	bool braces;
};
struct conf_scan_block {
	enum conf_kind kind;
	uint32_t line;
	uint32_t first, n_opts; /* in opts */
};
struct conf_scan {
	/* in order of the text, unknown ones left out */
	struct conf_scan_block *blocks;
	size_t n_blocks, cap_blocks;
	struct conf_scan_opt *opts;
	size_t n_opts, cap_opts;
	uint32_t *lines; /* of the values */
	size_t n_lines, cap_lines;
};
/*
 * Checks one file: octets, strings, comments, braces, the grammar, names and doubles. Comments and
 * whatever is unknown become blanks in text, so that libconfuse reads only what we know.
 * 0, or -1 when libconfuse must not see it.
 */
int conf_scan_text(
    const char *file, char *text, size_t n, struct conf_scan *, struct conf_findings *);
void conf_scan_clear(struct conf_scan *);

/* Tokens of a text (conf_lex.c). */
enum conf_token_kind {
	CONF_TOKEN_END = 0,
	CONF_TOKEN_TEXT = 1, /* a word or a string */
	CONF_TOKEN_OPEN = 2,
	CONF_TOKEN_CLOSE = 3,
	CONF_TOKEN_ASSIGN = 4,
	CONF_TOKEN_APPEND = 5,
	CONF_TOKEN_COMMA = 6,
	CONF_TOKEN_PAREN_OPEN = 7,
	CONF_TOKEN_PAREN_CLOSE = 8,
	CONF_TOKEN__MAX
};
struct conf_token {
	enum conf_token_kind kind;
	bool quoted;
	uint32_t line;
	size_t at, n; /* place in the text, quotes included */
};
struct conf_tokens {
	struct conf_token *v; /* ends with CONF_TOKEN_END */
	size_t n, cap;
};
/* 0, or -1 after findings. Comments become blanks in the text. */
int conf_lex(const char *file, char *text, size_t n, struct conf_tokens *, struct conf_findings *);

/* ---- building (conf_build.c and what it calls in this order) ------------------------------------
 */
struct conf_domain_info {
	const char *name; /* ASCII */
	struct conf_ou *ou;
	struct conf_where ou_where; /* what says so */
	struct conf_domain *block;  /* one of that name, or NULL */
	struct conf_domain_alias *alias;
};
struct conf_index {
	struct conf_map titles;  /* tag: kind */
	struct conf_map users;   /* lower-case address */
	struct conf_map domains; /* struct conf_domain_info */
	struct conf_map
	    routes; /* tag: index of the listener + 1, or 0 for all; key: domain or "*" */
};
/* A compiled list that conf_free() frees. */
struct conf_patterns {
	struct conf_patterns *next;
	struct pattern_list *list;
};

struct conf_builder {
	struct conf *conf;
	struct conf_arena *arena;
	struct conf_findings *f;
	/* blocks that somebody names, per kind */
	bool *referenced[CONF_BLOCK__MAX];
	/* per listener: the options that came by like, one bit each; complaints go to where they
	 * stand */
	uint64_t *inherited;
};

/* Typed view of a block of any kind. */
void *conf_block_at(const struct conf *, enum conf_kind, size_t i);
size_t conf_block_count(const struct conf *, enum conf_kind);
struct conf_where *conf_block_where(enum conf_kind, void *block);
char **conf_block_title(enum conf_kind, void *block);
struct conf_where **conf_block_options(enum conf_kind, void *block);
/* Where an option was written, or the block where it was not. */
struct conf_where conf_option_where(enum conf_kind, const void *block, unsigned opt);
bool conf_option_given(enum conf_kind, const void *block, unsigned opt);

#define CONF_WHERE(block, kind, opt)                                                               \
	conf_option_where(CONF_BLOCK_##kind, (block), CONF_OPT_##kind##_##opt)
#define CONF_GIVEN(block, kind, opt)                                                               \
	conf_option_given(CONF_BLOCK_##kind, (block), CONF_OPT_##kind##_##opt)

/* "listener "mx": relay_ou" for messages. */
#define CONF_LABEL 400
void conf_label(
    enum conf_kind, const char *title, const struct conf_option_def *, char out[CONF_LABEL]);
/* A value for a message: shortened, control octets as dots. */
#define CONF_SHOWN 120
const char *conf_shown(struct span, char out[CONF_SHOWN]);

void conf_findings_vadd(struct conf_findings *, bool error, struct conf_where, const char *fmt,
    va_list) __attribute__((format(printf, 4, 0)));
void conf_error(struct conf_builder *, struct conf_where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_builder *, struct conf_where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* conf_value.c: texts into the field; findings where they are wrong. */
struct conf_value {
	struct span text;
	uint32_t line;
};
void conf_value_set(struct conf_builder *, enum conf_kind, void *block, unsigned opt,
    const struct conf_raw_opt *, const struct conf_value *);
/* The default of an option into its field. Defaults are right by construction. */
void conf_value_default(struct conf_arena *, const struct conf_option_def *, void *field);

/* "10m" to milliseconds; -1: no time. */
int conf_value_time(struct span, int64_t *ms);

/* conf_resolve.c: like, references, defaults that depend on others */
void conf_resolve(struct conf_builder *, const struct conf_limit *defaults);
void conf_derive(struct conf_builder *); /* conf_derive.c: networks, addresses, hosts, methods */
/* conf_guard.c: rates of a list, each with a time of its own; and all of auth_guard */
void conf_derive_rates(struct conf_builder *, const char *label, const char *option,
    const struct conf_list *, struct conf_rates *);
void conf_derive_guard(struct conf_builder *);
void conf_index_domains(struct conf_builder *);   /* conf_find.c: domains, users, routes */
void conf_check(struct conf_builder *);           /* conf_check.c */
void conf_check_listeners(struct conf_builder *); /* conf_check_listener.c */
void conf_check_certs(struct conf_builder *);     /* conf_check_cert.c */
void conf_check_backend(struct conf_builder *, const struct conf_backend *);
void conf_check_transport(struct conf_builder *, const struct conf_transport *);
void conf_check_flows(struct conf_builder *); /* conf_check_flow.c: chains, backends of units */
/* conf_check_http.c, conf_check_oauth.c: backends that ask an HTTP server */
void conf_check_backend_oauth(
    struct conf_builder *, const struct conf_backend *, const char *label);
void conf_check_backend_http(struct conf_builder *, const struct conf_backend *, const char *label);
void conf_check_ldap(struct conf_builder *); /* conf_check_ldap.c */
/* The same for a backend of type ldap and its profile. */
void conf_check_ldap_backend(struct conf_builder *, const struct conf_backend *, const char *label);
/* An error where the URL is none, or would send secrets in clear. False: it is none. */
bool conf_check_url(
    struct conf_builder *, const struct conf_backend *, enum conf_option_backend, const char *text);
/* conf_check.c: a filter that lets nobody in, keeps nobody out, or is not used (S4). */
void conf_check_filter(struct conf_builder *, const char *label, const char *what, int mode,
    struct conf_where mode_where, const struct conf_list *filter);
/* conf_check.c: an error when the path (NULL is fine) does not begin with a slash. */
void conf_check_absolute(struct conf_builder *, struct conf_where, const char *label,
    const char *option, const char *path);

#endif
