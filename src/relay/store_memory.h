/* SPDX-License-Identifier: ISC */
/*
 * What the relay remembers by itself of users or destinations, a bounded number of them. What was
 * unused for longest gives way. Pages of it cost nothing before they are needed.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_MEMORY_H
#define NMNOTIFY_STORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* What a user or destination is known by: 128 bits of SipHash with secret keys. So names need no
 * room, and nobody can choose two that are taken for each other. */
struct memory_key {
	uint64_t word[2];
};

/* Random; getrandom(2) by whoever makes it. */
struct memory_secret {
	uint64_t key[2][2];
};

struct memory_key memory_key_of(
	const struct memory_secret *secret, const void *bytes, size_t length);

struct memory;

/* For `most` things of `size` bytes. NULL with errno set. */
struct memory *memory_open(uint32_t most, size_t size);
void memory_close(struct memory *memory);

/* What is remembered, or NULL. Both make it the last to give way. */
void *memory_find(struct memory *memory, struct memory_key key);

/* What is remembered; if there is nothing, zeros, which are remembered from now on. */
void *memory_make(struct memory *memory, struct memory_key key);

#endif
