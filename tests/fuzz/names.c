/* SPDX-License-Identifier: ISC */
/*
 * What the resolver may say, byte for byte, and names as text. Oracles: an
 * answer that is taken is written back to the same bytes, and no address of it can be mistaken for
 * one of another kind; a name that is taken is taken again, as itself, and has nothing but what a
 * name has; an answer or name that another reading of the rules takes is taken.
 *
 * Input: a byte, then a name (odd), or an answer (even), whose size the input's is.
 */
#include "fuzz.h"

#include "relay/names.h"
#include "relay/resolver.h"

static bool wanted_address(const struct resolver_address *a)
{
	static const uint8_t zeros[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->bits == 32)
		return a->scope == 0 && memcmp(a->bytes + 4, zeros, 12) == 0;
	if (a->bits != 128 || memcmp(a->bytes, mapped, 12) == 0)
		return false;
	return a->scope == 0 || (a->bytes[0] == 0xfe && a->bytes[1] >= 0x80 && a->bytes[1] < 0xc0);
}

static bool wanted_answer(const struct resolver_answer *told, size_t length)
{
	static const struct resolver_address none;
	bool is_wanted = length == sizeof(*told) && told->nothing == 0;

	if (!is_wanted)
		return false;
	if (told->count == 0)
		is_wanted = told->wrong > 0 && told->wrong < RESOLVER_WRONGS;
	else
		is_wanted = told->wrong == 0 && told->count <= NAME_ADDRESSES_MAX;
	for (uint32_t i = 0; is_wanted && i < NAME_ADDRESSES_MAX; i++)
		is_wanted = i < told->count ? wanted_address(&told->address[i])
					    : memcmp(&told->address[i], &none, sizeof(none)) == 0;
	return is_wanted;
}

static void check_answer(const struct resolver_answer *told, size_t length)
{
	struct name_answer answer;
	struct resolver_address again;
	bool is_taken = resolver_answer_take(told, length, &answer);

	must(is_taken == wanted_answer(told, length));
	if (!is_taken)
		return;
	must(answer.count == told->count && (answer.count == 0) == (answer.wrong != NULL));
	must(answer.lives.ms >= 1000 && answer.lives.ms <= 86400000);
	for (unsigned i = 0; i < answer.count; i++) {
		resolver_address_put(&again, &answer.address[i]);
		must(memcmp(&again, &told->address[i], sizeof(again)) == 0);
	}
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* One label after the other, from behind. */
static bool wanted_name(const char *name)
{
	char bytes[DNS_NAME_MAX + 2];
	size_t length = strlen(name);
	const char *label;

	if (length > DNS_NAME_MAX + 1)
		return false;
	(void)strcpy(bytes, name);
	if (length > 0 && bytes[length - 1] == '.')
		bytes[--length] = '\0';
	if (length == 0 || length > DNS_NAME_MAX)
		return false;
	label = strrchr(bytes, '.') != NULL ? strrchr(bytes, '.') + 1 : bytes;
	if (strspn(label, "0123456789") == strlen(label))
		return false;
	for (size_t from = 0; from <= length; from++) {
		size_t end = from;

		for (; bytes[end] != '\0' && bytes[end] != '.'; end++)
			if (!is_name_byte(
				    (char)(bytes[end] >= 'A' && bytes[end] <= 'Z' ? bytes[end] + 32
										  : bytes[end])))
				return false;
		if (end == from || end - from > 63 || bytes[from] == '-' || bytes[end - 1] == '-')
			return false;
		from = end;
	}
	return true;
}

static void check_name(const char *name)
{
	char taken[DNS_NAME_MAX + 1], again[DNS_NAME_MAX + 1];
	const char *wrong = name_take(name, taken);

	must((wrong == NULL) == wanted_name(name));
	if (wrong != NULL)
		return;
	must(strlen(taken) >= 1 && strlen(taken) <= DNS_NAME_MAX);
	must(name_take(taken, again) == NULL && strcmp(taken, again) == 0);
	for (const char *at = taken; *at != '\0'; at++)
		must(is_name_byte(*at) || *at == '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct resolver_answer told = { .id = 0 };
	char name[400];
	size_t length;

	if (take_byte(&input) % 2 != 0) {
		take_text(&input, '\0', name, sizeof(name));
		check_name(name);
		return 0;
	}
	length = input.length;
	(void)take_bytes(&input, &told, sizeof(told));
	check_answer(&told, length);
	return 0;
}
