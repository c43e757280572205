/* SPDX-License-Identifier: ISC */
/*
 * Records of one size in a mapped file: what is written into one is there after the death of the
 * process, at whatever instruction it comes. A record begins with a word that is 0 as long as it is
 * not used: who takes one writes the rest first, and that word last.
 *
 * The file grows by whole chunks, which get their blocks at once: a disk that is full later harms
 * none of them. Where a chunk can get none, it is memory alone, and what is in it dies with the
 * process: better than nothing.
 */
#ifndef NMNOTIFY_RECORDS_H
#define NMNOTIFY_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_NONE UINT32_MAX

/* A line for the log. */
typedef void records_listener(void *context, const char *message);

struct records {
	const char *name; /* of the file */
	int fd;           /* -1: memory alone */
	size_t size;      /* of a record: a multiple of 8 */
	uint32_t most, chunks_count, first_free;
	uint32_t used;     /* how many are */
	uint32_t version;  /* of the record's layout */
	bool is_same_boot; /* the file is of the running boot: its times mean something */
	bool is_volatile;  /* said already: some of it is memory alone */
	bool is_cut;       /* said already: some of it was beyond `most` */
	char **chunks;
	records_listener *listener;
	void *context;
};

/*
 * Opens a file of a directory, or makes it. What is no file of ours, or of another version or size,
 * is begun afresh, and that is said. `version` counts the layouts of the record. Where there can be
 * no file at all, that is said and the records are memory. False: there is no memory, or another
 * process has the file (errno EWOULDBLOCK).
 */
bool records_open(struct records *records, int directory, const char *name, size_t size,
	uint32_t version, uint32_t most);
void records_close(struct records *records);

/* A record that is not used, all zeros; RECORD_NONE: there are as many as there may be. */
uint32_t records_take(struct records *records);

/* Gives one back: its first word becomes 0. */
void records_give(struct records *records, uint32_t index);

void *record_at(const struct records *records, uint32_t index);

/* Calls back for each record that is used. Only once, after records_open(); false from `keep`:
 * there is something wrong with it, and it is given back. The file is of the running boot then. */
typedef bool record_keep(void *context, uint32_t index, void *record);
void records_each(struct records *records, record_keep *keep, void *context);

#endif
