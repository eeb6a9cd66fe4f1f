/* SPDX-License-Identifier: ISC */
/*
 * Reads a DNS answer in wire format as libunbound hands it over: header, question skipped, answer
 * section. Pure, in process `deliver`. Every length is checked against the packet, compression
 * pointers may only point backwards, and the number of records and aliases is bounded. What makes
 * no sense is a temporary failure, never "no such domain".
 */
#include "transports/dns_packet.h"

#include <ctype.h>
#include <string.h>

#define HEADER_LEN 12u
#define CLASS_IN 1u
#define RR_MAX 512u /* records looked at */

struct pkt {
	const uint8_t *p;
	size_t n;
	size_t at;
};

static int
take_u16(struct pkt *k, uint16_t *out)
{
	if (k->n - k->at < 2)
		return -1;
	*out = (uint16_t)(k->p[k->at] << 8 | k->p[k->at + 1]);
	k->at += 2;
	return 0;
}

static int
take_u32(struct pkt *k, uint32_t *out)
{
	uint16_t hi, lo;

	if (take_u16(k, &hi) == -1 || take_u16(k, &lo) == -1)
		return -1;
	*out = (uint32_t)hi << 16 | lo;
	return 0;
}

/* Adds one label in lower case; a byte that no host name holds makes the name odd. */
static int
add_label(const uint8_t *p, size_t len, char out[DNS_NAME_TEXT], size_t *used, bool *odd)
{
	if (*used + len + 2 > DNS_NAME_TEXT)
		return -1;
	if (*used > 0)
		out[(*used)++] = '.';
	for (size_t i = 0; i < len; i++) {
		if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '.' || p[i] == '\\')
			*odd = true;
		out[(*used)++] = (char)tolower(p[i]);
	}
	return 0;
}

/*
 * The name at k->at, which moves behind it. Pointers must point before the place where the
 * present run of labels began, so every jump goes back and the walk ends.
 */
static int
take_name(struct pkt *k, char out[DNS_NAME_TEXT], bool *odd)
{
	size_t at = k->at, run = k->at, used = 0;
	bool jumped = false;

	*odd = false;
	for (;;) {
		if (at >= k->n)
			return -1;
		uint8_t len = k->p[at];

		if ((len & 0xc0) == 0xc0) {
			if (k->n - at < 2)
				return -1;
			size_t to = (size_t)(len & 0x3f) << 8 | k->p[at + 1];

			if (!jumped)
				k->at = at + 2;
			jumped = true;
			if (to >= run || to < HEADER_LEN)
				return -1;
			at = run = to;
			continue;
		}
		if ((len & 0xc0) != 0)
			return -1;
		at++;
		if (len == 0)
			break;
		if (k->n - at < len || add_label(k->p + at, len, out, &used, odd) == -1)
			return -1;
		at += len;
	}
	if (!jumped)
		k->at = at;
	out[used] = '\0';
	return 0;
}

struct rr {
	char owner[DNS_NAME_TEXT];
	uint16_t type, class;
	uint32_t ttl;
	size_t data, len; /* place and length of RDATA */
};

static int
take_rr(struct pkt *k, struct rr *rr)
{
	uint16_t len;
	bool odd;

	if (take_name(k, rr->owner, &odd) == -1 || take_u16(k, &rr->type) == -1 ||
	    take_u16(k, &rr->class) == -1 || take_u32(k, &rr->ttl) == -1 ||
	    take_u16(k, &len) == -1 || k->n - k->at < len)
		return -1;
	if (odd)
		rr->owner[0] = '\0'; /* no name that we ask for */
	rr->data = k->at;
	rr->len = len;
	k->at += len;
	return 0;
}

/* A name that must fill `len` octets from `at` exactly. */
static int
rdata_name(const struct pkt *k, size_t at, size_t len, char out[DNS_NAME_TEXT], bool *odd)
{
	struct pkt sub = {k->p, at + len, at};

	if (take_name(&sub, out, odd) == -1 || sub.at != at + len)
		return -1;
	return 0;
}

/* 0 also for records left out. */
static int
take_record(const struct pkt *k, const struct rr *rr, struct dns_answer *out)
{
	struct dns_record *r;
	bool odd = false;

	if (out->n == DNS_RECORDS_MAX)
		return 0;
	r = &out->v[out->n];
	memset(r, 0, sizeof(*r));
	if (rr->type == DNS_TYPE_MX) {
		if (rr->len < 3 || rdata_name(k, rr->data + 2, rr->len - 2, r->name, &odd) == -1)
			return -1;
		r->pref = (uint16_t)(k->p[rr->data] << 8 | k->p[rr->data + 1]);
	} else {
		size_t len = rr->type == DNS_TYPE_A ? 4 : 16;

		if (rr->len != len)
			return -1;
		r->addr.family = rr->type == DNS_TYPE_A ? 4 : 6;
		memcpy(r->addr.ip, k->p + rr->data, len);
	}
	if (odd)
		return 0;
	if (out->ttl == 0 || rr->ttl < out->ttl)
		out->ttl = rr->ttl;
	out->n++;
	return 0;
}

/* One walk over the answers: records of `name`. 1: an alias was found and name replaced, -1:
 * rubbish. */
static int
walk(struct pkt k, unsigned count, char name[DNS_NAME_TEXT], uint16_t type, struct dns_answer *out)
{
	char alias[DNS_NAME_TEXT];
	bool found = false, odd;

	for (unsigned i = 0; i < count; i++) {
		struct rr rr;

		if (take_rr(&k, &rr) == -1)
			return -1;
		if (rr.class != CLASS_IN || strcmp(rr.owner, name) != 0)
			continue;
		if (rr.type == type) {
			if (take_record(&k, &rr, out) == -1)
				return -1;
		} else if (rr.type == DNS_TYPE_CNAME) {
			if (rdata_name(&k, rr.data, rr.len, alias, &odd) == -1 || odd)
				return -1;
			found = true;
		}
	}
	if (out->n > 0 || !found)
		return 0;
	memcpy(name, alias, sizeof(alias));
	return 1;
}

static enum dns_result
parse(const uint8_t *p, size_t n, uint16_t type, struct dns_answer *out)
{
	struct pkt k = {p, n, HEADER_LEN};
	char name[DNS_NAME_TEXT];
	uint16_t qtype, class;
	bool odd;

	if (n < HEADER_LEN || n > UINT16_MAX || (p[2] & 0x80) == 0)
		return DNS_TEMP;
	unsigned rcode = p[3] & 0x0fu, questions = (unsigned)(p[4] << 8 | p[5]);
	unsigned count = (unsigned)(p[6] << 8 | p[7]);

	if (rcode == 3)
		return DNS_NXDOMAIN;
	if (rcode != 0 || (p[2] & 0x02) != 0 || questions != 1 || count > RR_MAX)
		return DNS_TEMP;
	if (take_name(&k, name, &odd) == -1 || take_u16(&k, &qtype) == -1 ||
	    take_u16(&k, &class) == -1 || qtype != type || class != CLASS_IN)
		return DNS_TEMP;
	for (unsigned i = 0; i <= DNS_CNAMES_MAX; i++) {
		int again = walk(k, count, name, type, out);

		if (again == -1)
			return DNS_TEMP;
		if (again == 0)
			return out->n > 0 ? DNS_OK : DNS_NODATA;
	}
	return DNS_TEMP;
}

void
dns_packet_parse(const uint8_t *p, size_t n, uint16_t type, struct dns_answer *out)
{
	out->why = NULL;
	out->ttl = 0;
	out->n = 0;
	out->result = parse(p, n, type, out);
	if (out->result == DNS_TEMP) {
		out->n = 0;
		out->why = "the answer of the name server makes no sense";
	}
}
