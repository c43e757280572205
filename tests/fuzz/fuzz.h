/* SPDX-License-Identifier: ISC */
/*
 * What the fuzz targets share: the input taken apart, and an assertion that the fuzzer sees. A target
 * tests more than that nothing crashes: an oracle in it says what the answer must be.
 */
#ifndef NMNOTIFY_FUZZ_H
#define NMNOTIFY_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Ends the process with the input that led here. Not assert(3), which NDEBUG takes away. */
#define must(condition) fuzz_must((condition), #condition, __FILE__, __LINE__)

static inline void fuzz_must(bool holds, const char *condition, const char *file, int line)
{
	if (holds)
		return;
	(void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/* What is left of the input. At its end there are zeros. */
struct input {
	const uint8_t *bytes;
	size_t length;
};

static inline uint8_t take_byte(struct input *input)
{
	if (input->length == 0)
		return 0;
	input->length--;
	return *input->bytes++;
}

static inline uint32_t take_word(struct input *input)
{
	uint32_t word = 0;

	for (unsigned i = 0; i < 4; i++)
		word |= (uint32_t)take_byte(input) << 8 * i;
	return word;
}

/* At most `most` of the bytes that are left; how many. */
static inline size_t take_bytes(struct input *input, void *to, size_t most)
{
	size_t length = input->length < most ? input->length : most;

	memcpy(to, input->bytes, length);
	input->bytes += length;
	input->length -= length;
	return length;
}

/* Up to the next byte `end`, which is taken, too; a text of less than `size` bytes. */
static inline void take_text(struct input *input, char end, char *text, size_t size)
{
	size_t length = 0;

	while (input->length > 0) {
		char c = (char)take_byte(input);

		if (c == end || c == '\0')
			break;
		if (length + 1 < size)
			text[length++] = c;
	}
	text[length] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
