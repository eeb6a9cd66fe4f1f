/* SPDX-License-Identifier: ISC */
/*
 * Stands in for libFuzzer: gives each file named on the command line to the fuzz
 * target once. So the corpus runs in every `make check`, with any compiler.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (f == NULL) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(data, 1, sizeof(data), f);
		fclose(f);
		/* a copy of the exact size: ASan sees what reads behind it */
		uint8_t *exact = malloc(n == 0 ? 1 : n);
		if (exact == NULL)
			return 1;
		for (size_t k = 0; k < n; k++)
			exact[k] = data[k];
		(void)LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	return 0;
}
