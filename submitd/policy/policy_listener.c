/* SPDX-License-Identifier: ISC */
/*
 * Rules of the listener's scope that concern the connection and the size: who may
 * connect (S35), whether AUTH is there (S1) and needed (S2), message_size_limit (P7).
 * Pure; relaying is in policy_relay.c.
 */
#include "policy/rule.h"

enum verdict
policy_clients(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;
	char ip[NET_ADDR_TEXT];

	(void)conf;
	if (l->n_client_nets == 0) {
		policy_note(r, "no clients are listed: everybody may connect");
		return V_NEXT;
	}
	POLICY_AT(r, l, listener, clients);
	net_addr_format_ip(&f->client, ip);
	for (size_t i = 0; i < l->n_client_nets; i++) {
		if (net_cidr_match(&l->client_nets[i], &f->client)) {
			policy_note(
			    r, "%s is in %s", ip, i < l->clients.n ? l->clients.v[i] : "the list");
			return V_OK;
		}
	}
	policy_note(r, "%s is in none of %zu networks", ip, l->n_client_nets);
	return policy_refuse(r, 554, "5.7.1",
	    "your address %s may not use this service; ask the administrator to list it", ip);
}

enum verdict
policy_auth_offered(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;

	(void)conf;
	POLICY_AT(r, l, listener, auth);
	switch (l->auth) {
	case LISTENER_AUTH_ON:
		policy_note(r, "auth = on");
		return V_OK;
	case LISTENER_AUTH_ENCRYPTED:
		if (f->tls) {
			policy_note(r, "auth = encrypted, TLS is up");
			return V_OK;
		}
		policy_note(r, "auth = encrypted, and the connection is in clear");
		return policy_refuse(
		    r, 538, "5.7.11", "no login in clear; start TLS first, then AUTH");
	default:
		policy_note(r, "auth = off");
		return policy_refuse(r, 503, "5.5.1", "AUTH is switched off here");
	}
}

/* S3, S4. Before the name is known too: AUTH is not even offered then. */
enum verdict
policy_auth_ip(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;
	char ip[NET_ADDR_TEXT];
	enum pattern_result m;

	(void)conf;
	if (l->auth_ip_mode == FILTER_OFF) {
		POLICY_AT(r, l, listener, auth_ip_mode);
		policy_note(r, "auth_ip_mode = off");
		return V_NEXT;
	}
	POLICY_AT(r, l, listener, auth_ip_filter);
	net_addr_format_ip(&f->client, ip);
	m = pattern_list_match_client(l->auth_ip_patterns, &f->client);
	if (m == PATTERN_BAD)
		return policy_unknown(r, "auth_ip_filter of the listener cannot be used");
	policy_note(r, "auth_ip_mode = %s, the list has %s%s",
	    l->auth_ip_mode == FILTER_ALLOW ? "allow" : "deny",
	    m == PATTERN_YES ? "" : "nothing for ", ip);
	if ((m == PATTERN_YES) == (l->auth_ip_mode == FILTER_ALLOW))
		return V_OK;
	return policy_refuse(r, 503, "5.5.1", "AUTH is not offered to your address %s", ip);
}

/* S5, S6: an excluded name reads like a wrong password, and no backend hears of it. */
enum verdict
policy_auth_user(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;

	if (l->auth_user_mode == FILTER_OFF)
		POLICY_AT(r, l, listener, auth_user_mode);
	else
		POLICY_AT(r, l, listener, auth_user_filter);
	if (f->login == NULL) {
		policy_note(r, "the name is not known yet");
		return V_NEXT;
	}
	return policy_name_filter(
	    conf, f, r, l->auth_user_mode, l->auth_user_patterns, "the listener");
}

enum verdict
policy_require_auth(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;

	(void)conf;
	POLICY_AT(r, l, listener, require_auth);
	if (!l->require_auth) {
		policy_note(r, "require_auth = false");
		return V_NEXT;
	}
	if (f->authenticated) {
		policy_note(r, "authenticated");
		return V_OK;
	}
	policy_note(r, "require_auth = true, and nobody has logged in");
	if (!f->tls && l->auth == LISTENER_AUTH_ENCRYPTED)
		return policy_refuse(
		    r, 530, "5.7.0", "start TLS and log in with AUTH before you send mail");
	return policy_refuse(r, 530, "5.7.0", "log in with AUTH before you send mail");
}

enum verdict
policy_size(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	uint64_t max = (uint64_t)conf->server->message_size_limit;

	POLICY_AT(r, conf->server, server, message_size_limit);
	if (f->size == 0) {
		policy_note(r, "the size is not known yet");
		return V_NEXT;
	}
	policy_note(r, "%llu octets, %llu are allowed", (unsigned long long)f->size,
	    (unsigned long long)max);
	if (f->size <= max)
		return V_OK;
	return policy_refuse(r, 552, "5.3.4", "the message is larger than %llu octets; send less",
	    (unsigned long long)max);
}
