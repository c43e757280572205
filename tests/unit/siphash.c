/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "lib/siphash.h"

/*
 * SipHash-2-4 of the bytes 00 01 02 and so on, of lengths 0 to 63, under the key 00 01 to 0f: the
 * authors' test vectors, of which the paper prints the one of length 15 (appendix A).
 */
static const uint64_t vectors[64] = {
	0x726fdb47dd0e0e31,
	0x74f839c593dc67fd,
	0x0d6c8009d9a94f5a,
	0x85676696d7fb7e2d,
	0xcf2794e0277187b7,
	0x18765564cd99a68d,
	0xcbc9466e58fee3ce,
	0xab0200f58b01d137,
	0x93f5f5799a932462,
	0x9e0082df0ba9e4b0,
	0x7a5dbbc594ddb9f3,
	0xf4b32f46226bada7,
	0x751e8fbc860ee5fb,
	0x14ea5627c0843d90,
	0xf723ca908e7af2ee,
	0xa129ca6149be45e5,
	0x3f2acc7f57c29bdb,
	0x699ae9f52cbe4794,
	0x4bc1b3f0968dd39c,
	0xbb6dc91da77961bd,
	0xbed65cf21aa2ee98,
	0xd0f2cbb02e3b67c7,
	0x93536795e3a33e88,
	0xa80c038ccd5ccec8,
	0xb8ad50c6f649af94,
	0xbce192de8a85b8ea,
	0x17d835b85bbb15f3,
	0x2f2e6163076bcfad,
	0xde4daaaca71dc9a5,
	0xa6a2506687956571,
	0xad87a3535c49ef28,
	0x32d892fad841c342,
	0x7127512f72f27cce,
	0xa7f32346f95978e3,
	0x12e0b01abb051238,
	0x15e034d40fa197ae,
	0x314dffbe0815a3b4,
	0x027990f029623981,
	0xcadcd4e59ef40c4d,
	0x9abfd8766a33735c,
	0x0e3ea96b5304a7d0,
	0xad0c42d6fc585992,
	0x187306c89bc215a9,
	0xd4a60abcf3792b95,
	0xf935451de4f21df2,
	0xa9538f0419755787,
	0xdb9acddff56ca510,
	0xd06c98cd5c0975eb,
	0xe612a3cb9ecba951,
	0xc766e62cfcadaf96,
	0xee64435a9752fe72,
	0xa192d576b245165a,
	0x0a8787bf8ecb74b2,
	0x81b3e73d20b49b6f,
	0x7fa8220ba3b2ecea,
	0x245731c13ca42499,
	0xb78dbfaf3a8d83bd,
	0xea1ad565322a1a0b,
	0x60e61c23a3795013,
	0x6606d7e446282b93,
	0x6ca4ecb15c5f91e1,
	0x9f626da15c9625f3,
	0xe51b38608ef25f57,
	0x958a324ceb064572,
};

static const uint64_t vector_key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

static void siphash_agrees_with_the_authors_vectors(void **state)
{
	uint8_t bytes[64];

	(void)state;
	assert_int_equal(vectors[0], 0x726fdb47dd0e0e31);
	assert_int_equal(vectors[15], 0xa129ca6149be45e5);
	for (unsigned i = 0; i < COUNT(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (unsigned length = 0; length < COUNT(vectors); length++)
		assert_int_equal(siphash(vector_key, bytes, length), vectors[length]);
}

/* ---- The paper's section 2, line by line, for other keys and longer inputs ---- */

static uint64_t rotl(uint64_t word, unsigned bits)
{
	return (word << bits) + (word >> (64 - bits));
}

static void round_of_figure_2_1(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13);
	v[1] ^= v[0];
	v[0] = rotl(v[0], 32);

	v[2] += v[3];
	v[3] = rotl(v[3], 16);
	v[3] ^= v[2];

	v[0] += v[3];
	v[3] = rotl(v[3], 21);
	v[3] ^= v[0];

	v[2] += v[1];
	v[1] = rotl(v[1], 17);
	v[1] ^= v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t word_of(const uint8_t *bytes)
{
	uint64_t word = 0;

	for (int i = 7; i >= 0; i--)
		word = word * 256 + bytes[i];
	return word;
}

static uint64_t reference(const uint64_t key[2], const uint8_t *bytes, size_t length)
{
	uint8_t padded[1024] = { 0 };
	size_t words = length / 8 + 1;
	uint64_t v[4] = { key[0], key[1], key[0], key[1] };

	memcpy(padded, bytes, length);
	padded[words * 8 - 1] = (uint8_t)(length % 256);
	for (unsigned i = 0; i < 4; i++) /* "somepseudorandomlygeneratedbytes" */
		v[i] ^= (const uint64_t[]){ 0x736f6d6570736575, 0x646f72616e646f6d,
			0x6c7967656e657261, 0x7465646279746573 }[i];
	for (size_t i = 0; i < words; i++) {
		uint64_t m = word_of(padded + 8 * i);

		v[3] ^= m;
		round_of_figure_2_1(v);
		round_of_figure_2_1(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		round_of_figure_2_1(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void siphash_agrees_with_the_paper_for_any_key_and_length(void **state)
{
	uint8_t bytes[600];
	uint64_t seed = 24;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		uint64_t key[2] = { random_next(&seed), random_next(&seed) };
		size_t length = random_below(&seed, round % 2 ? 20 : sizeof(bytes));

		for (size_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)random_next(&seed);
		assert_int_equal(siphash(key, bytes, length), reference(key, bytes, length));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_agrees_with_the_authors_vectors),
		cmocka_unit_test(siphash_agrees_with_the_paper_for_any_key_and_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
