/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_memory.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/siphash.h"

/* Entries are numbered from 1; 0 is none. */
struct entry {
	struct memory_key key;
	uint32_t next;         /* of the same bucket */
	uint32_t newer, older; /* of all, by their last use */
};

struct memory {
	size_t mapped, size, stride;
	uint32_t most, used, mask;
	uint32_t newest, oldest;
	uint32_t *bucket; /* mask + 1 of them */
	unsigned char *entries;
};

struct memory_key memory_key_of(
	const struct memory_secret *secret, const void *bytes, size_t length)
{
	return (struct memory_key){ { siphash(secret->key[0], bytes, length),
		siphash(secret->key[1], bytes, length) } };
}

static size_t rounded(size_t size)
{
	return (size + 15) & ~(size_t)15;
}

struct memory *memory_open(uint32_t most, size_t size)
{
	struct memory head = { .most = most, .size = size, .mask = 1 };
	size_t buckets;
	unsigned char *place;
	struct memory *memory;

	while (head.mask < most)
		head.mask *= 2;
	buckets = rounded(head.mask * sizeof(uint32_t));
	head.mask--;
	head.stride = rounded(sizeof(struct entry)) + rounded(size);
	head.mapped = rounded(sizeof(head)) + buckets + most * head.stride;
	place = mmap(NULL, head.mapped, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (place == MAP_FAILED)
		return NULL;
	memory = (void *)place;
	*memory = head;
	memory->bucket = (void *)(place + rounded(sizeof(head)));
	memory->entries = place + rounded(sizeof(head)) + buckets;
	return memory;
}

void memory_close(struct memory *memory)
{
	(void)munmap(memory, memory->mapped);
}

static struct entry *entry_at(const struct memory *memory, uint32_t number)
{
	return (void *)(memory->entries + (number - 1) * memory->stride);
}

static void *contents(struct entry *entry)
{
	return (unsigned char *)entry + rounded(sizeof(*entry));
}

static uint32_t *bucket_of(struct memory *memory, struct memory_key key)
{
	return &memory->bucket[key.word[0] & memory->mask];
}

/* ---- By their last use ---- */

static void age_leave(struct memory *memory, uint32_t number)
{
	const struct entry *entry = entry_at(memory, number);

	if (entry->newer != 0)
		entry_at(memory, entry->newer)->older = entry->older;
	else
		memory->newest = entry->older;
	if (entry->older != 0)
		entry_at(memory, entry->older)->newer = entry->newer;
	else
		memory->oldest = entry->newer;
}

static void age_join(struct memory *memory, uint32_t number)
{
	struct entry *entry = entry_at(memory, number);

	entry->newer = 0;
	entry->older = memory->newest;
	if (memory->newest != 0)
		entry_at(memory, memory->newest)->newer = number;
	else
		memory->oldest = number;
	memory->newest = number;
}

/* ---- By their keys ---- */

static uint32_t find(struct memory *memory, struct memory_key key)
{
	uint32_t number = *bucket_of(memory, key);

	while (number != 0) {
		const struct entry *entry = entry_at(memory, number);

		if (memcmp(&entry->key, &key, sizeof(key)) == 0)
			return number;
		number = entry->next;
	}
	return 0;
}

static void forget(struct memory *memory, uint32_t number)
{
	const struct entry *entry = entry_at(memory, number);
	uint32_t *link = bucket_of(memory, entry->key);

	while (*link != number)
		link = &entry_at(memory, *link)->next;
	*link = entry->next;
	age_leave(memory, number);
}

/* The number of one that nobody uses now. */
static uint32_t take(struct memory *memory)
{
	uint32_t number = memory->oldest;

	if (memory->used < memory->most)
		return ++memory->used;
	forget(memory, number);
	return number;
}

void *memory_find(struct memory *memory, struct memory_key key)
{
	uint32_t number = find(memory, key);

	if (number == 0)
		return NULL;
	age_leave(memory, number);
	age_join(memory, number);
	return contents(entry_at(memory, number));
}

void *memory_make(struct memory *memory, struct memory_key key)
{
	void *found = memory_find(memory, key);
	struct entry *entry;
	uint32_t number, *bucket;

	if (found != NULL)
		return found;
	number = take(memory);
	entry = entry_at(memory, number);
	bucket = bucket_of(memory, key);
	entry->key = key;
	entry->next = *bucket;
	*bucket = number;
	age_join(memory, number);
	return memset(contents(entry), 0, memory->size);
}
