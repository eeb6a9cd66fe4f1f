/* SPDX-License-Identifier: ISC */
/* Answers of name servers: one octet chooses the type asked for, then the packet. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/dns_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_MX, DNS_TYPE_AAAA};
	struct dns_answer a;

	if (n < 1)
		return 0;
	dns_packet_parse(p + 1, n - 1, types[p[0] % 3], &a);
	if (a.n > DNS_RECORDS_MAX || (a.result == DNS_OK) != (a.n > 0))
		abort();
	for (size_t i = 0; i < a.n; i++)
		if (memchr(a.v[i].name, '\0', DNS_NAME_TEXT) == NULL)
			abort();
	return 0;
}
