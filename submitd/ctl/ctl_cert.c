/* SPDX-License-Identifier: ISC */
/*
 * The certificates out of a PEM file, for auth-test --cert. submitctl. Such files often hold
 * the key, too: it must never leave here.
 */
#include "ctl/ctl.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#define CERTS_MAX 5u /* the client's own and its chain */

int
ctl_cert_read(const char *path, struct secret *out)
{
	static char no_passphrase[] = "";
	FILE *f = fopen(path, "r");
	BIO *certs = BIO_new(BIO_s_mem());
	X509 *cert;
	char *pem = NULL;
	long size = 0;

	if (f == NULL) {
		ctl_error("%s: %s", path, strerror(errno));
		BIO_free(certs);
		return -1;
	}
	for (unsigned n = 0; certs != NULL && n < CERTS_MAX &&
			     (cert = PEM_read_X509(f, NULL, NULL, no_passphrase)) != NULL;
	     n++) {
		(void)PEM_write_bio_X509(certs, cert);
		X509_free(cert);
	}
	(void)fclose(f);
	ERR_clear_error();
	if (certs != NULL)
		size = BIO_get_mem_data(certs, &pem);
	if (size <= 0)
		ctl_error("%s: there is no certificate in PEM form in it", path);
	else if (size > (long)CTL_CERT_MAX)
		ctl_error("%s: its certificates are larger than %u octets", path, CTL_CERT_MAX);
	else
		secret_set(out, pem, (size_t)size);
	BIO_free(certs);
	return out->len > 0 ? 0 : -1;
}
