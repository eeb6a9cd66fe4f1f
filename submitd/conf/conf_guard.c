/* SPDX-License-Identifier: ISC */
/*
 * Rates ("5/10m": so many within a time) and what makes no sense in auth_guard (A7).
 *
 * Pure. A brake that never brakes is said so; one that cannot be understood is an error.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#define RATE_MAX 100000
#define RATE_MS_MIN 1000
#define RATE_MS_MAX (31LL * 86400000)

static int
rate_parse(struct span s, struct conf_rate *out)
{
	struct span rest = s, count = span_cut(&rest, '/');
	uint64_t n;
	int64_t ms;

	if (rest.p == NULL || span_to_u64(count, 1, RATE_MAX, &n) == -1 ||
	    conf_value_time(rest, &ms) == -1 || ms < RATE_MS_MIN || ms > RATE_MS_MAX)
		return -1;
	*out = (struct conf_rate){(uint32_t)n, ms};
	return 0;
}

void
conf_derive_rates(struct conf_builder *b, const char *label, const char *option,
    const struct conf_list *l, struct conf_rates *out)
{
	char shown[CONF_SHOWN];
	struct conf_rate r;
	size_t i, j;

	for (i = 0; i < l->n && i < CONF_RATES_MAX; i++) {
		if (rate_parse(span_of(l->v[i]), &r) == -1) {
			conf_error(b, l->where,
			    "%s: %s: \"%s\" is no rate; write a number from 1 to 100000, / and a "
			    "time from 1s to 31d, as in \"5/10m\"",
			    label, option, conf_shown(span_of(l->v[i]), shown));
			continue;
		}
		for (j = 0; j < out->n; j++)
			if (out->v[j].ms == r.ms)
				break;
		if (j < out->n)
			conf_error(b, l->where,
			    "%s: %s: \"%s\" has the time of another one; write one number for each "
			    "time",
			    label, option, conf_shown(span_of(l->v[i]), shown));
		else
			out->v[out->n++] = r;
	}
}

static bool
covers_everybody(const struct conf_auth_guard *g)
{
	for (size_t i = 0; i < g->n_exempt_nets; i++)
		if (g->exempt_nets[i].bits == 0)
			return true;
	return false;
}

void
conf_derive_guard(struct conf_builder *b)
{
	struct conf_auth_guard *g = b->conf->auth_guard;

	conf_derive_rates(b, "auth_guard", "per_address", &g->per_address, &g->address_rates);
	conf_derive_rates(b, "auth_guard", "per_network", &g->per_network, &g->network_rates);
	conf_derive_rates(b, "auth_guard", "per_user", &g->per_user, &g->user_rates);
	if (g->fail_delay == 0)
		conf_warn(b, CONF_WHERE(g, auth_guard, fail_delay),
		    "auth_guard: fail_delay = 0: the time of a refusal may tell which names exist "
		    "where backends answer them at different speeds; write longer than they take");
	if (covers_everybody(g))
		conf_warn(b, g->exempt.where,
		    "auth_guard: exempt holds every address: passwords may be guessed without end");
	else if (g->per_address.n == 0 && g->per_network.n == 0 && g->per_user.n == 0)
		conf_warn(b, CONF_WHERE(g, auth_guard, per_address),
		    "auth_guard: per_address, per_network and per_user are all empty: passwords "
		    "may be guessed without end");
}
