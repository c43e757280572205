/* SPDX-License-Identifier: ISC */
/*
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a sender who
 * does not know the key cannot choose addresses that share a cell with somebody else's.
 */
#ifndef NMNOTIFY_SIPHASH_H
#define NMNOTIFY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* The same on machines of either byte order. */
uint64_t siphash(const uint64_t key[2], const uint8_t *bytes, size_t length);

#endif
