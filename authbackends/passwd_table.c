/* SPDX-License-Identifier: ISC */
/*
 * Parses a password file and indexes it by name, so that a million lines answer
 * as fast as ten (S44). Pure: text in, table out; process auth, the loop and
 * loading workers. Must never put any part of a line into a finding.
 */
#include "authbackends/passwd_table.h"

#include "authbackends/passwd_hash.h"
#include "base/saslprep.h"
#include "base/scram.h"
#include "base/str.h"
#include "mail/addr.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 255u
#define SECRET_MAX_LEN 1024u
#define COSTS_MAX 16u

struct entry {
	uint32_t name_off, secret_off; /* into the text */
	uint32_t hash;
	uint16_t secret_len;
	uint8_t name_len, kind;
};

struct cost {
	char text[64];
	size_t count;
	uint32_t entry;
};

struct passwd_table {
	struct buf text; /* owned: names and secrets stay where they were read */
	struct entry *entries;
	uint32_t n, cap;
	uint32_t *slots; /* entry number + 1; 0 is free */
	uint32_t mask;
	size_t n_plain;
	struct cost costs[COSTS_MAX];
	size_t n_costs;
	char dummy[PASSWD_HASH_MAX + 1], scram_like[PASSWD_HASH_MAX + 1];
	struct passwd_finding findings[PASSWD_TABLE_MAX_FINDINGS];
	size_t n_findings, total_findings;
};

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static uint32_t
name_hash(struct span s)
{
	uint32_t h = 2166136261u; /* FNV-1a; only the file's owner chooses what is inserted */
	char key[ADDR_FOLDED];
	size_t i;

	if (!str_is_ascii(s))
		s = addr_user_key(s, key);
	for (i = 0; i < s.n; i++)
		h = (h ^ lower((uint8_t)s.p[i])) * 16777619u;
	return h ^ (h >> 15);
}

static struct span
entry_name(const struct passwd_table *t, const struct entry *e)
{
	return (struct span){(const char *)buf_data(&t->text) + e->name_off, e->name_len};
}

static struct span
entry_secret(const struct passwd_table *t, const struct entry *e)
{
	return (struct span){(const char *)buf_data(&t->text) + e->secret_off, e->secret_len};
}

/* The slot of that name, or the free one where it belongs. */
static uint32_t
find_slot(const struct passwd_table *t, struct span name, uint32_t hash)
{
	uint32_t i = hash & t->mask;

	while (t->slots[i] != 0) {
		const struct entry *e = &t->entries[t->slots[i] - 1];

		if (e->hash == hash && addr_user_same(entry_name(t, e), name))
			break;
		i = (i + 1) & t->mask;
	}
	return i;
}

static void
grow(struct passwd_table *t)
{
	uint32_t i;

	t->cap = t->cap == 0 ? 64 : t->cap * 2;
	t->entries = xreallocarray(t->entries, t->cap, sizeof(*t->entries));
	free(t->slots);
	t->mask = t->cap * 2 - 1;
	t->slots = xcallocarray((size_t)t->mask + 1, sizeof(*t->slots));
	for (i = 0; i < t->n; i++) {
		uint32_t s = t->entries[i].hash & t->mask;

		while (t->slots[s] != 0)
			s = (s + 1) & t->mask;
		t->slots[s] = i + 1;
	}
}

static void
count_cost(struct passwd_table *t, uint32_t number)
{
	struct span secret = entry_secret(t, &t->entries[number]), cost;
	char hash[PASSWD_HASH_MAX + 1];
	size_t i;

	if (str_copy_span(hash, sizeof(hash), secret) == -1)
		return;
	cost = passwd_hash_cost(hash);
	for (i = 0; i < t->n_costs; i++)
		if (span_eq(cost, t->costs[i].text)) {
			t->costs[i].count++;
			return;
		}
	if (t->n_costs == COSTS_MAX ||
	    str_copy_span(t->costs[i].text, sizeof(t->costs[i].text), cost) == -1)
		return;
	t->costs[i].count = 1;
	t->costs[i].entry = number;
	t->n_costs++;
}

static bool
looks_hashed(struct span s)
{
	size_t i;

	if (s.n > 1 && s.p[0] == '{')
		return memchr(s.p, '}', s.n) != NULL;
	if (span_starts_nocase(s, "SCRAM-SHA-"))
		return true;
	if (s.n < 3 || s.p[0] != '$')
		return false;
	for (i = 1; i < s.n && i < 12; i++) {
		if (s.p[i] == '$')
			return i > 1;
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	}
	return false;
}

/* What kind of entry the second field makes; a text when none. */
static const char *
judge_secret(struct span s, bool allow_plain, enum passwd_entry_kind *kind)
{
	enum passwd_kind hash;
	const char *wrong;

	if (span_eq(s, "*") || span_eq(s, "!") || span_eq(s, "!!") ||
	    ((s.p[0] == '*' || s.p[0] == '!') && looks_hashed((struct span){s.p + 1, s.n - 1}))) {
		*kind = ENTRY_LOCKED;
		return NULL;
	}
	wrong = passwd_hash_check(s, &hash);
	if (wrong == NULL) {
		*kind = ENTRY_HASH;
		return NULL;
	}
	if (!allow_plain || looks_hashed(s))
		return wrong;
	if (s.n > SECRET_MAX_LEN)
		return "the password is longer than 1024 octets";
	*kind = ENTRY_PLAIN;
	return NULL;
}

/* The keys of SCRAM are held apart by colons. */
static bool
may_have_colons(struct span secret)
{
	if (secret.p[0] == '*' || secret.p[0] == '!')
		secret = (struct span){secret.p + 1, secret.n - 1};
	return span_starts_nocase(secret, SCRAM_PREFIX);
}

/* Names that clients send come in this form. */
static bool
is_prepared(struct span name)
{
	char text[NAME_MAX_LEN + 1];

	return str_copy_span(text, sizeof(text), name) == 0 &&
	       saslprep_text(text, sizeof(text)) == 0 && span_eq(name, text);
}

/* Cuts a line into its two fields; a text when it has not exactly two. */
static const char *
split_line(struct span line, struct span *name, struct span *secret)
{
	size_t i;
	bool colon;

	if (line.n > NAME_MAX_LEN + SECRET_MAX_LEN + 200)
		return "the line is too long";
	for (i = 0; i < line.n && memchr(" \t:", line.p[i], 3) == NULL; i++)
		;
	*name = (struct span){line.p, i};
	if (i == line.n)
		return "there is no second field";
	colon = line.p[i] == ':';
	*secret = span_trim((struct span){line.p + i + 1, line.n - i - 1});
	if (secret->n == 0)
		return "there is no second field";
	if (memchr(secret->p, ' ', secret->n) != NULL || str_has_control(*secret) ||
	    (colon && memchr(secret->p, ':', secret->n) != NULL && !may_have_colons(*secret)))
		return "there are more than two fields";
	if (name->n == 0)
		return "the name is empty";
	if (name->n > NAME_MAX_LEN)
		return "the name is longer than 255 octets";
	if (str_has_control(*name))
		return "the name has control characters";
	if (!utf8_valid(*name))
		return "the name is not UTF-8";
	if (!is_prepared(*name))
		return "the name is not as SASLprep (RFC 4013) leaves it, so that nobody could log "
		       "in "
		       "with it; submitctl passwd writes it well";
	return NULL;
}

static const char *
add_line(struct passwd_table *t, struct span line, bool allow_plain)
{
	const char *base = (const char *)buf_data(&t->text), *wrong;
	struct span name, secret;
	enum passwd_entry_kind kind;
	struct entry *e;
	uint32_t hash, slot;

	if ((wrong = split_line(line, &name, &secret)) != NULL ||
	    (wrong = judge_secret(secret, allow_plain, &kind)) != NULL)
		return wrong;
	if (t->n == t->cap)
		grow(t);
	hash = name_hash(name);
	slot = find_slot(t, name, hash);
	if (t->slots[slot] != 0)
		return "the name stands there already, the first one counts";
	e = &t->entries[t->n];
	*e = (struct entry){.name_off = (uint32_t)(name.p - base),
	    .secret_off = (uint32_t)(secret.p - base),
	    .hash = hash,
	    .secret_len = (uint16_t)secret.n,
	    .name_len = (uint8_t)name.n,
	    .kind = (uint8_t)kind};
	t->slots[slot] = ++t->n;
	if (kind == ENTRY_HASH)
		count_cost(t, t->n - 1);
	else if (kind == ENTRY_PLAIN)
		t->n_plain++;
	return NULL;
}

/* The entry of the cost that more than `most` have, only SCRAM ones if so wished; NULL: none. */
static const struct entry *
most_frequent(const struct passwd_table *t, size_t most, bool only_scram)
{
	const struct entry *best = NULL;
	size_t i;

	for (i = 0; i < t->n_costs; i++)
		if (t->costs[i].count > most &&
		    (!only_scram ||
			strncmp(t->costs[i].text, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) == 0)) {
			most = t->costs[i].count;
			best = &t->entries[t->costs[i].entry];
		}
	return best;
}

static void
choose_dummies(struct passwd_table *t)
{
	const struct entry *e;

	if ((e = most_frequent(t, t->n_plain, false)) != NULL)
		(void)str_copy_span(t->dummy, sizeof(t->dummy), entry_secret(t, e));
	if ((e = most_frequent(t, 0, true)) != NULL)
		(void)str_copy_span(t->scram_like, sizeof(t->scram_like), entry_secret(t, e));
}

struct passwd_table *
passwd_table_parse(struct buf *text, bool allow_plain)
{
	struct passwd_table *t = xcallocarray(1, sizeof(*t));
	struct span rest, line;
	unsigned number = 0;
	const char *wrong;

	buf_move(&t->text, text);
	grow(t);
	rest = buf_span(&t->text);
	if (rest.n >= 3 && memcmp(rest.p, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
		rest = (struct span){rest.p + 3, rest.n - 3};
	while (rest.p != NULL && rest.n > 0) {
		line = span_cut(&rest, '\n');
		number++;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		line = span_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if ((wrong = add_line(t, line, allow_plain)) == NULL)
			continue;
		if (t->n_findings < PASSWD_TABLE_MAX_FINDINGS)
			t->findings[t->n_findings++] = (struct passwd_finding){number, wrong};
		t->total_findings++;
	}
	choose_dummies(t);
	return t;
}

void
passwd_table_free(struct passwd_table *t)
{
	if (t == NULL)
		return;
	buf_wipe(&t->text);
	free(t->entries);
	free(t->slots);
	explicit_bzero(t->dummy, sizeof(t->dummy));
	explicit_bzero(t->scram_like, sizeof(t->scram_like));
	free(t);
}

bool
passwd_table_find(const struct passwd_table *t, struct span name, struct passwd_entry *out)
{
	uint32_t slot = find_slot(t, name, name_hash(name));
	const struct entry *e;

	if (t->slots[slot] == 0)
		return false;
	e = &t->entries[t->slots[slot] - 1];
	out->kind = (enum passwd_entry_kind)e->kind;
	out->name = entry_name(t, e);
	out->secret = entry_secret(t, e);
	return true;
}

size_t
passwd_table_count(const struct passwd_table *t)
{
	return t->n;
}

const char *
passwd_table_dummy(const struct passwd_table *t)
{
	return t->dummy;
}

const char *
passwd_table_scram_like(const struct passwd_table *t)
{
	return t->scram_like;
}

const struct passwd_finding *
passwd_table_findings(const struct passwd_table *t, size_t *n, size_t *total)
{
	*n = t->n_findings;
	*total = t->total_findings;
	return t->findings;
}
