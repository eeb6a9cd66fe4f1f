/* SPDX-License-Identifier: ISC */
/*
 * Tokens of a configuration text, before libconfuse sees it.
 *
 * libconfuse drops octets that it does not expect, knows no line of an open
 * string, and takes unset variables as empty. So everything it would take
 * silently is found here, with its line; comments become blanks. Runs in the
 * child that reads the configuration; never allocates by what a text claims.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define LEX_MAX_ERRORS 50

struct lex {
	const char *file;
	char *text;
	size_t n, at;
	uint32_t line;
	struct conf_tokens *out;
	struct conf_findings *f;
	unsigned errors;
};

static void __attribute__((format(printf, 3, 4)))
lex_error(struct lex *l, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (l->errors++ >= LEX_MAX_ERRORS)
		return;
	va_start(ap, fmt);
	conf_findings_vadd(l->f, true, (struct conf_where){l->file, line}, fmt, ap);
	va_end(ap);
}

static void
lex_push(struct lex *l, enum conf_token_kind kind, bool quoted, uint32_t line, size_t at)
{
	struct conf_tokens *t = l->out;

	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 256 : t->cap * 2;
		t->v = xreallocarray(t->v, t->cap, sizeof *t->v);
	}
	t->v[t->n++] = (struct conf_token){kind, quoted, line, at, l->at - at};
}

/* Octets that may not stand anywhere in the file: -1. */
static int
lex_check_octets(struct lex *l)
{
	uint32_t line = 1;
	size_t i, start = 0;
	int bad = 0;
	char hex[8];

	for (i = 0; i < l->n; i++) {
		uint8_t c = (uint8_t)l->text[i];

		if (c == '\n' || i + 1 == l->n) {
			if (!utf8_valid((struct span){l->text + start, i + 1 - start})) {
				lex_error(
				    l, line, "this line is not UTF-8; save the file as UTF-8");
				bad = -1;
			}
			start = i + 1;
			line += c == '\n';
			continue;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			(void)str_printf(hex, sizeof hex, "0x%02x", c);
			lex_error(l, line,
			    "control character %s; only text, tabs and line ends may stand here",
			    hex);
			bad = -1;
		}
	}
	return bad;
}

static void
lex_blank(struct lex *l, size_t from, size_t to)
{
	for (; from < to; from++)
		if (l->text[from] != '\n')
			l->text[from] = ' ';
}

static void
lex_comment(struct lex *l)
{
	size_t start = l->at;
	uint32_t line = l->line;

	if (l->text[l->at] == '/' && l->text[l->at + 1] == '*') {
		for (l->at += 2;; l->at++) {
			if (l->at + 1 >= l->n) {
				lex_error(
				    l, line, "the comment that begins here has no end; write */");
				l->at = l->n;
				break;
			}
			if (l->text[l->at] == '\n')
				l->line++;
			if (l->text[l->at] == '*' && l->text[l->at + 1] == '/') {
				l->at += 2;
				break;
			}
		}
	} else {
		while (l->at < l->n && l->text[l->at] != '\n')
			l->at++;
	}
	lex_blank(l, start, l->at);
}

/* ${NAME} or ${NAME:-value} at l->at; the end of it, or 0 where it is not complete. */
static size_t
lex_variable(struct lex *l)
{
	const char *p = l->text + l->at, *end, *def;
	char name[256];
	size_t n;

	end = memchr(p, '}', l->n - l->at);
	if (end == NULL || memchr(p, '\n', (size_t)(end - p)) != NULL ||
	    memchr(p, '"', (size_t)(end - p)) != NULL) {
		lex_error(l, l->line, "${ without its }; write ${NAME} or ${NAME:-value}");
		return 0;
	}
	def = memchr(p, ':', (size_t)(end - p));
	n = (size_t)((def != NULL ? def : end) - (p + 2));
	if (n == 0 || str_copy_span(name, sizeof name, (struct span){p + 2, n}) == -1) {
		lex_error(l, l->line, "${ without a name; write ${NAME} or ${NAME:-value}");
	} else if (def != NULL && def[1] != '-') {
		lex_error(l, l->line, "${%s:… is unknown; write ${NAME} or ${NAME:-value}", name);
	} else if (def == NULL && getenv(name) == NULL) {
		lex_error(l, l->line,
		    "the environment variable %s is not set; set it, or write ${NAME:-value} to "
		    "give a value for that case",
		    name);
	}
	return (size_t)(end + 1 - l->text);
}

static void
lex_string(struct lex *l)
{
	char quote = l->text[l->at], shown[3] = {0};
	size_t start = l->at++, end;
	uint32_t line = l->line;

	for (;;) {
		if (l->at >= l->n || l->text[l->at] == '\n') {
			lex_error(l, line,
			    "the text that begins here has no closing %s on its line",
			    quote == '"' ? "\"" : "'");
			break;
		}
		if (l->text[l->at] == quote) {
			l->at++;
			break;
		}
		if (l->text[l->at] == '\\' && quote == '"') {
			shown[0] = '\\';
			shown[1] = l->at + 1 < l->n ? l->text[l->at + 1] : ' ';
			if (shown[1] == '\n' || (uint8_t)shown[1] >= 0x80)
				shown[1] = ' ';
			if (strchr("\\\"'$", shown[1]) == NULL)
				lex_error(l, l->line,
				    "%s in a text in double quotes; write \\\\ for a backslash, or "
				    "'single quotes' to keep all of them",
				    shown);
			l->at += l->at + 1 < l->n && l->text[l->at + 1] != '\n' ? 2 : 1;
		} else if (l->text[l->at] == '\\') {
			/* in single quotes only \\ and \' mean something */
			l->at += l->at + 1 < l->n && l->text[l->at + 1] != '\n' ? 2 : 1;
		} else if (quote == '"' && l->text[l->at] == '$' && l->text[l->at + 1] == '{') {
			end = lex_variable(l);
			l->at = end != 0 ? end : l->at + 2;
		} else {
			l->at++;
		}
	}
	if (l->at - start > CONF_STRING_MAX)
		lex_error(l, line, "this text is too long; at most 8192 octets are taken");
	lex_push(l, CONF_TOKEN_TEXT, true, line, start);
}

static bool
lex_is_word(const struct lex *l, size_t i)
{
	char c = l->text[i];

	if (i >= l->n || c == '\0' || strchr(" \t\n\"'#={}()+,*", c) != NULL)
		return false;
	return !(c == '/' && l->text[i + 1] == '*'); /* a comment ends a word */
}

static void
lex_word(struct lex *l)
{
	size_t start = l->at, end;
	bool slashes = false; /* a comment or part of the word? nobody can tell */

	if (l->text[l->at] == '$' && l->text[l->at + 1] == '{') {
		end = lex_variable(l);
		l->at = end != 0 ? end : l->at + 2;
	} else {
		for (; lex_is_word(l, l->at); l->at++)
			slashes |= l->text[l->at] == '/' && l->text[l->at + 1] == '/';
	}
	if (slashes)
		lex_error(l, l->line, "// within a word; put the text into quotes");
	if (l->at - start > CONF_STRING_MAX)
		lex_error(l, l->line, "this word is too long; at most 8192 octets are taken");
	lex_push(l, CONF_TOKEN_TEXT, false, l->line, start);
}

static bool
lex_mark(struct lex *l)
{
	static const struct {
		char c;
		enum conf_token_kind kind;
	} marks[] = {
	    {'{', CONF_TOKEN_OPEN},
	    {'}', CONF_TOKEN_CLOSE},
	    {'=', CONF_TOKEN_ASSIGN},
	    {',', CONF_TOKEN_COMMA},
	    {'(', CONF_TOKEN_PAREN_OPEN},
	    {')', CONF_TOKEN_PAREN_CLOSE},
	};
	size_t i, start = l->at;

	if (l->text[l->at] == '+' && l->text[l->at + 1] == '=') {
		l->at += 2;
		lex_push(l, CONF_TOKEN_APPEND, false, l->line, start);
		return true;
	}
	for (i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		if (l->text[l->at] == marks[i].c) {
			l->at++;
			lex_push(l, marks[i].kind, false, l->line, start);
			return true;
		}
	}
	return false;
}

/* text[n] is '\0'. */
int
conf_lex(const char *file, char *text, size_t n, struct conf_tokens *out, struct conf_findings *f)
{
	struct lex l = {.file = file, .text = text, .n = n, .line = 1, .out = out, .f = f};
	char shown[2] = {0};

	if (lex_check_octets(&l) == -1)
		return -1;
	while (l.at < n) {
		char c = text[l.at], next = text[l.at + 1];

		if (c == '\n') {
			l.line++;
			l.at++;
		} else if (c == ' ' || c == '\t') {
			l.at++;
		} else if (c == '#' || (c == '/' && (next == '/' || next == '*'))) {
			lex_comment(&l);
		} else if (c == '"' || c == '\'') {
			lex_string(&l);
		} else if (!lex_mark(&l)) {
			if (lex_is_word(&l, l.at)) {
				lex_word(&l);
			} else {
				shown[0] = c;
				lex_error(&l, l.line,
				    "unexpected character %s; put the text it belongs to into "
				    "quotes",
				    shown);
				l.at++;
			}
		}
	}
	lex_push(&l, CONF_TOKEN_END, false, l.line, l.at);
	return l.errors == 0 ? 0 : -1;
}
