/* SPDX-License-Identifier: ISC */
/*
 * The name under which a user is counted (A7): bounded, the same for itself, and the same
 * for other ASCII case, a blank more and a final dot.
 */
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char text[] =
    "server { hostname = \"mail.example.com\" }\n"
    "tls \"default\" { certificate = \"/c.pem\" key = \"/k.pem\" }\n"
    "auth_flow \"staff\" { chain = {\"internal\"} }\n"
    "listener \"submission\" { bind = {\"0.0.0.0:587\"} relay_ou = {\"staff\"} }\n"
    "ou \"staff\" { domains = {\"example.com\"} }\n"
    "domain \"example.com\" { ou = \"staff\" transport = \"in\" }\n"
    "domain_alias \"alias.example\" { parent = \"example.com\" }\n"
    "domain \"any\" { transport = \"out\" } transport \"out\" { method = \"lookup-mx\" }\n"
    "transport \"in\" { method = static hosts = {\"192.0.2.1:25\"} }\n";

static const struct conf *
make_conf(void)
{
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT;
	struct conf *c;

	invariant(conf_parse_text("t", text, &raw, &f) == 0);
	c = conf_build(buf_span(&raw), &f);
	invariant(c != NULL);
	buf_clear(&raw);
	conf_findings_clear(&f);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct conf *c;
	char key[CONF_USER_KEY], other[CONF_USER_KEY], *in;

	if (c == NULL)
		c = make_conf();
	conf_user_key(c, (struct span){(const char *)data, n}, key);
	invariant(strlen(key) < CONF_USER_KEY);
	if (n > 200 ||
	    memchr(data, 0, n) != NULL) /* what is cut may end in the middle of a letter */
		return 0;
	conf_user_key(c, span_of(key), other);
	invariant(strcmp(key, other) == 0);
	in = xmalloc(n + 3);
	in[0] = ' ';
	for (size_t i = 0; i < n; i++)
		in[i + 1] = data[i] >= 'a' && data[i] <= 'z' ? (char)(data[i] - 32) : (char)data[i];
	in[n + 1] = '.';
	conf_user_key(c, (struct span){in, n + (strchr(key, '@') != NULL ? 2 : 1)}, other);
	invariant(strcmp(key, other) == 0);
	free(in);
	return 0;
}
