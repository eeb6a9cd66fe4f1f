/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_DOTSTUFF_H
#define SUBMITD_MAIL_DOTSTUFF_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The one place that decides about line ends and dots (P6).
 *
 * dot_decoder: what a client sends after DATA, or in BDAT chunks, to clean CRLF
 * lines. Only CRLF.CRLF ends DATA. Errors are remembered, reading goes on to the
 * real end so that the session stays in step.
 */
enum dot_error {
	DOT_OK = 0,
	DOT_BARE_CR = 1,
	DOT_BARE_LF = 2,
	DOT_NUL = 3,
	DOT_LONG_LINE = 4,
	DOT__MAX
};

#define DOT_ALLOW_BARE_LF 1u /* normalise bare LF to CRLF; never ends the data */
#define DOT_ALLOW_NUL 2u     /* NUL octets are dropped */
#define DOT_ALLOW_LONG 4u    /* long lines are kept as they are */
#define DOT_BDAT 8u          /* no dots, no end: the caller counts octets */

struct dot_decoder {
	unsigned flags;
	size_t max_line; /* octets without CRLF */
	/* results */
	enum dot_error error; /* the first one */
	bool done;            /* CRLF.CRLF was seen (not BDAT) */
	bool has_8bit;
	bool repaired; /* something was normalised */
	uint64_t lines;
	/* inner state */
	uint8_t state;
	size_t line_len;
};
void dot_decoder_init(struct dot_decoder *, unsigned flags, size_t max_line);
/* Appends clean bytes to out; gives the number of input bytes taken (less than n only when done).
 */
size_t dot_decode(struct dot_decoder *, const uint8_t *in, size_t n, struct buf *out);
/* After the last BDAT chunk: adds a missing last CRLF, notices a dangling CR. */
void dot_decode_finish(struct dot_decoder *, struct buf *out);

/* To a next hop: doubles leading dots. Clean CRLF input in pieces. */
struct dot_encoder {
	uint8_t state;
};
void dot_encoder_init(struct dot_encoder *);
void dot_encode(struct dot_encoder *, const uint8_t *in, size_t n, struct buf *out);
/* Adds a missing last CRLF and ".CRLF". */
void dot_encode_finish(struct dot_encoder *, struct buf *out);

#endif
