/* SPDX-License-Identifier: ISC */
/* S59, RFC 5321 5.1, RFC 7505: which exchangers, in which order, and when the mail would loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "transports/mx.h"

static uint32_t
no_shuffle(uint32_t n)
{
	return n - 1;
}

static uint32_t
always_first(uint32_t n)
{
	(void)n;
	return 0;
}

/* "10 a,20 b": -1 is DNS_NXDOMAIN and so on by the words. */
static void
answer_from(struct dns_answer *a, const char *text)
{
	struct span rest = span_of(text);

	memset(a, 0, sizeof(*a));
	if (strcmp(text, "nxdomain") == 0)
		a->result = DNS_NXDOMAIN;
	else if (strcmp(text, "nodata") == 0)
		a->result = DNS_NODATA;
	else if (strcmp(text, "temp") == 0)
		a->result = DNS_TEMP;
	else
		a->result = DNS_OK;
	while (a->result == DNS_OK && rest.p != NULL) {
		struct span item = span_cut(&rest, ',');
		struct span pref = span_cut(&item, ' ');
		uint64_t n;

		assert_int_equal(span_to_u64(pref, 0, 65535, &n), 0);
		a->v[a->n].pref = (uint16_t)n;
		str_copy_span(a->v[a->n].name, DNS_NAME_TEXT, item);
		a->n++;
	}
}

static const struct {
	const char *answer;
	mx_random_fn *rnd;
	const char *hosts; /* or NULL */
	enum verdict verdict;
	const char *esc;
} orders[] = {
    {"10 a,20 b,5 c", no_shuffle, "c a b ", V_OK, NULL},
    {"10 a,10 b,5 c", no_shuffle, "c a b ", V_OK, NULL},
    {"10 a,10 b,5 c", always_first, "c b a ", V_OK, NULL},
    {"10 a,20 a,5 c", no_shuffle, "c a ", V_OK, NULL},
    {"0 ", no_shuffle, NULL, V_PERM, "5.1.10"},
    {"0 ,10 a", no_shuffle, "a ", V_OK, NULL},
    {"nodata", no_shuffle, "d.example ", V_OK, NULL},
    {"nxdomain", no_shuffle, NULL, V_PERM, "5.1.2"},
    {"temp", no_shuffle, NULL, V_TEMP, "4.4.3"},
    {"1 a,2 b,3 c,4 d,5 e,6 f,7 g,8 h,9 i,10 j,11 k,12 l", no_shuffle, "a b c d e f g h i j ", V_OK,
	NULL},
};

static void
test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		struct status st = {0};
		struct dns_answer a;
		struct mx_list l;
		struct buf b = BUF_INIT;
		char esc[STATUS_ESC_TEXT];
		int rc;

		answer_from(&a, orders[i].answer);
		rc = mx_from_answer(&a, "d.example", orders[i].rnd, &l, &st);
		assert_int_equal(rc, orders[i].hosts == NULL ? -1 : 0);
		if (rc == -1) {
			assert_int_equal(st.verdict, orders[i].verdict);
			status_esc(&st, esc);
			assert_string_equal(esc, orders[i].esc);
			status_clear(&st);
			continue;
		}
		for (size_t j = 0; j < l.n; j++)
			buf_addf(&b, "%s ", l.v[j].name);
		assert_string_equal(buf_cstr(&b), orders[i].hosts);
		assert_int_equal(l.implicit, a.result == DNS_NODATA);
		buf_clear(&b);
	}
}

/* Our addresses 192.0.2.1 port 25 and 2525, our name us.example. */
static const struct {
	const char *answer, *addrs; /* "name=ip;name=ip;name=temp" */
	uint16_t port;
	const char *left;
	enum verdict verdict;
	const char *esc;
} finishes[] = {
    {"10 a,20 b", "a=192.0.2.9;b=192.0.2.8", 25, "a b ", V_OK, NULL},
    {"10 a,20 b", "b=192.0.2.8", 25, "b ", V_OK, NULL},
    {"10 a,20 b", "", 25, NULL, V_PERM, "5.4.4"},
    {"10 a,20 b", "a=temp", 25, NULL, V_TEMP, "4.4.3"},
    {"nodata", "", 25, NULL, V_PERM, "5.1.2"},
    {"nodata", "d.example=temp", 25, NULL, V_TEMP, "4.4.3"},
    {"10 a,20 b", "a=192.0.2.9;b=192.0.2.1", 25, "a ", V_OK, NULL},
    {"10 a,20 b,30 c", "a=192.0.2.9;b=192.0.2.1;c=192.0.2.7", 25, "a ", V_OK, NULL},
    {"20 a,20 b", "a=192.0.2.9;b=192.0.2.1", 25, NULL, V_PERM, "5.4.6"},
    {"10 a,20 b", "a=192.0.2.1;b=192.0.2.9", 25, NULL, V_PERM, "5.4.6"},
    {"10 a,20 b", "a=temp;b=192.0.2.1", 25, NULL, V_TEMP, "4.4.3"},
    {"10 us.example,20 b", "us.example=198.51.100.1;b=192.0.2.9", 25, NULL, V_PERM, "5.4.6"},
    {"10 us.example,20 b", "us.example=198.51.100.1;b=192.0.2.9", 26, "us.example b ", V_OK, NULL},
    {"nodata", "d.example=192.0.2.1", 25, NULL, V_PERM, "5.4.6"},
    {"nodata", "d.example=192.0.2.1", 26, "d.example ", V_OK, NULL},
};

static void
add_addrs(struct mx_list *l, const char *text)
{
	struct span rest = span_of(text);

	while (rest.p != NULL) {
		struct span item = span_cut(&rest, ';'), host = span_cut(&item, '=');
		struct dns_answer a = {.result = DNS_OK, .n = 1};

		if (host.n == 0)
			continue;
		if (span_eq(item, "temp"))
			a = (struct dns_answer){.result = DNS_TEMP};
		else
			assert_int_equal(net_addr_parse_ip(item, &a.v[0].addr), 0);
		for (size_t i = 0; i < l->n; i++)
			if (span_eq(host, l->v[i].name))
				mx_add_addrs(&l->v[i], &a);
	}
}

static void
test_finish(void **state)
{
	struct net_addr own[2];
	struct mx_self self = {"us.example", own, 2};

	(void)state;
	assert_int_equal(net_addr_parse(span_of("192.0.2.1:25"), &own[0]), 0);
	assert_int_equal(net_addr_parse(span_of("192.0.2.1:2525"), &own[1]), 0);
	for (size_t i = 0; i < ARRAY_LEN(finishes); i++) {
		struct status st = {0};
		struct dns_answer a;
		struct mx_list l;
		struct buf b = BUF_INIT;
		char esc[STATUS_ESC_TEXT];

		answer_from(&a, finishes[i].answer);
		assert_int_equal(mx_from_answer(&a, "d.example", no_shuffle, &l, &st), 0);
		add_addrs(&l, finishes[i].addrs);
		if (mx_finish(&l, "d.example", finishes[i].port, &self, &st) == -1) {
			status_esc(&st, esc);
			assert_null(finishes[i].left);
			assert_int_equal(st.verdict, finishes[i].verdict);
			assert_string_equal(esc, finishes[i].esc);
			status_clear(&st);
			continue;
		}
		for (size_t j = 0; j < l.n; j++)
			buf_addf(&b, "%s ", l.v[j].name);
		assert_non_null(finishes[i].left);
		assert_string_equal(buf_cstr(&b), finishes[i].left);
		buf_clear(&b);
	}
}

static void
test_families(void **state)
{
	static const char *const v6[] = {"2001:db8::1", "2001:db8::2", "2001:db8::3"};
	static const char *const v4[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
	struct mx_host h = {.result = DNS_NODATA};
	struct dns_answer a = {.result = DNS_OK, .n = 3};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		net_addr_parse_ip(span_of(v6[i]), &a.v[i].addr);
	mx_add_addrs(&h, &a);
	for (size_t i = 0; i < 3; i++)
		net_addr_parse_ip(span_of(v4[i]), &a.v[i].addr);
	mx_add_addrs(&h, &a);
	mx_add_addrs(&h, &a); /* doubles change nothing */
	assert_int_equal(h.n_addrs, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(h.addrs[i].family, i % 2 == 0 ? 4 : 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_finish),
	    cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
