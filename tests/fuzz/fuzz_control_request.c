/* SPDX-License-Identifier: ISC */
/*
 * Requests of the control socket, and explain's questions on a small configuration:
 * every answer is one valid JSON object in one line.
 */
#include "base/log.h"
#include "base/str.h"
#include "control/control.h"
#include "policy/explain.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char conf_text[] =
    "server { hostname = \"mail.example.com\" }\n"
    "tls \"t\" { certificate = \"/x.pem\"  key = \"/x.key\" }\n"
    "backend \"f\" { type = file  path = \"/x.users\" }\n"
    "auth_flow \"flow\" { chain = {\"f\"} }\n"
    "listener \"sub\" { bind = {\"127.0.0.1:587\"}  auth_flow = \"flow\"\n"
    "  default_domain = \"hq.example\"  relay_ou = {\"hq\"} }\n"
    "ou \"hq\" { domains = {\"hq.example\"}  auth_user_mode = deny  auth_user_filter = {\"ceo@*\"} "
    "}\n"
    "domain \"hq.example\" { ou = \"hq\"  transport = \"in\" }\n"
    "domain \"any\" { transport = \"in\" }\n"
    "transport \"in\" { method = static  hosts = {\"127.0.0.1:10025\"} }\n";

static void
on_row(void *arg, const char *json)
{
	json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

	(void)arg;
	invariant(json_is_object(o));
	invariant(strchr(json, '\n') == NULL);
	json_decref(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct conf *conf;
	struct control_request r = {0};
	struct explain_request q;
	char err[512];

	if (conf == NULL) {
		struct buf raw = BUF_INIT;
		struct conf_findings f = {0};

		if (conf_parse_text("fuzz.conf", conf_text, &raw, &f) == 0)
			conf = conf_build(buf_span(&raw), &f);
		conf_findings_clear(&f);
		buf_clear(&raw);
		invariant(conf != NULL);
	}
	if (control_request_parse((struct span){(const char *)data, n}, &r, err, sizeof(err)) == -1)
		return 0;
	if (r.command->target == CONTROL_TO_SELF &&
	    explain_request_from_json(r.json, &q, err, sizeof(err)) == 0)
		(void)explain_run(conf, &q, on_row, NULL, err, sizeof(err));
	control_request_set_user(&r, 0);
	control_request_clear(&r);
	return 0;
}
