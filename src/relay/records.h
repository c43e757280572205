/* SPDX-License-Identifier: ISC */
/*
 * Records of one size in a mapped file: what is written into one is there after the death of the
 * process, at whatever instruction it comes. A record begins with a word that is 0 as long as it is
 * not used: who takes one writes the rest first, and that word last.
 *
 * The file grows by whole chunks, which get their disk space at once: a disk that is full later
 * harms none of them. A chunk that gets none is memory alone, and what is in it dies with the
 * process: better than nothing.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_RECORDS_H
#define NMNOTIFY_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_NONE UINT32_MAX

/* A line for the log. */
typedef void records_logger(void *context, const char *message);

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
	records_logger *logger;
	void *context;
};

/*
 * Opens a file of a directory, or makes it. One that is not ours, or has another version or size,
 * is begun afresh. `version` is the number of the record's layout. If there can be no file, the
 * records are memory. Both go to the log. `.logger` and `.context` must be set. False: there is no
 * memory, or another process has the file (errno EWOULDBLOCK).
 */
bool records_open(struct records *records, int directory, const char *name, size_t size,
	uint32_t version, uint32_t most);
void records_close(struct records *records);

/* A record that is not used, all zeros; RECORD_NONE: there are as many as there may be. */
uint32_t records_take(struct records *records);

/* Gives one back: its first word becomes 0. */
void records_give(struct records *records, uint32_t index);

void *record_at(const struct records *records, uint32_t index);

/* To be called once, after records_open(): calls `keep` for each record that is used. If that
 * returns false, something is wrong with the record, and it is given back. Afterwards the file is
 * of the running boot. */
typedef bool record_keep(void *context, uint32_t index, void *record);
void records_each(struct records *records, record_keep *keep, void *context);

#endif
