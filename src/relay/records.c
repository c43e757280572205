/* SPDX-License-Identifier: ISC */
/*
 * In the relay.
 */
#include "relay/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/text.h"

#define HEADER_BYTES  65536 /* as large as any page: mmap(2) wants whole ones */
#define CHUNK_RECORDS 4096u
#define BOOT_ID_FILE  "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES 36

struct header {
	char magic[8];
	uint32_t version, record_size;
	char boot_id[BOOT_ID_BYTES];
};

static const char magic[8] = "nmrelay";

__attribute__((format(printf, 2, 3))) static void tell(
	const struct records *records, const char *format, ...)
{
	char bytes[256];
	struct text text = TEXT_IN(bytes);
	va_list arguments;

	text_add(&text, "%s: ", records->name);
	va_start(arguments, format);
	text_add_list(&text, format, arguments);
	va_end(arguments);
	records->logger(records->context, bytes);
}

/* ---- The file ---- */

static size_t chunk_bytes(const struct records *records)
{
	size_t bytes = CHUNK_RECORDS * records->size;

	return (bytes + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
}

static off_t chunk_offset(const struct records *records, uint32_t chunk)
{
	return (off_t)(HEADER_BYTES + (uint64_t)chunk * chunk_bytes(records));
}

/* All zeros if the kernel does not tell: then no file is of this boot. */
static void boot_id_read(char id[static BOOT_ID_BYTES])
{
	int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, id, BOOT_ID_BYTES) != BOOT_ID_BYTES)
		memset(id, 0, BOOT_ID_BYTES);
	if (fd >= 0)
		(void)close(fd); /* was only read */
}

static bool header_read(struct records *records, struct header *header, uint32_t version)
{
	return pread(records->fd, header, sizeof(*header), 0) == (ssize_t)sizeof(*header) &&
	       memcmp(header->magic, magic, sizeof(magic)) == 0 && header->version == version &&
	       header->record_size == records->size;
}

static bool header_write(struct records *records, uint32_t version, const char *boot_id)
{
	struct header header = { .version = version, .record_size = (uint32_t)records->size };

	memcpy(header.magic, magic, sizeof(magic));
	memcpy(header.boot_id, boot_id, BOOT_ID_BYTES);
	if (pwrite(records->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return false;
	errno = posix_fallocate(records->fd, 0, HEADER_BYTES);
	return errno == 0;
}

/* What the file has, in whole chunks; a fresh one has none. False: it can have none. */
static bool file_begin(struct records *records, uint32_t version)
{
	char boot_id[BOOT_ID_BYTES];
	struct header header;
	struct stat st;

	records->version = version;
	boot_id_read(boot_id);
	if (fstat(records->fd, &st) != 0)
		return false;
	if (st.st_size == 0 || !header_read(records, &header, version)) {
		if (st.st_size != 0)
			tell(records,
				"is damaged or of another version: what it said is lost, and it "
				"begins afresh");
		return ftruncate(records->fd, 0) == 0 && header_write(records, version, boot_id);
	}
	records->is_same_boot =
		boot_id[0] != '\0' && memcmp(header.boot_id, boot_id, sizeof(boot_id)) == 0;
	if (st.st_size > HEADER_BYTES)
		records->chunks_count =
			(uint32_t)(((uint64_t)st.st_size - HEADER_BYTES) / chunk_bytes(records));
	return true;
}

/* ---- Chunks ---- */

static uint32_t chunks_most(const struct records *records)
{
	return (records->most + CHUNK_RECORDS - 1) / CHUNK_RECORDS;
}

static char *chunk_map(const struct records *records, uint32_t chunk)
{
	char *bytes = mmap(NULL, chunk_bytes(records), PROT_READ | PROT_WRITE, MAP_SHARED,
		records->fd, chunk_offset(records, chunk));

	return bytes == MAP_FAILED ? NULL : bytes;
}

static char *chunk_of_memory(const struct records *records)
{
	char *bytes = mmap(NULL, chunk_bytes(records), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

/* A chunk at the end of the file with blocks of its own; NULL with errno set. */
static char *chunk_of_file(const struct records *records)
{
	off_t offset = chunk_offset(records, records->chunks_count);

	if (records->fd < 0 || records->is_volatile)
		return NULL;
	errno = posix_fallocate(records->fd, offset, (off_t)chunk_bytes(records));
	return errno == 0 ? chunk_map(records, records->chunks_count) : NULL;
}

/* One that the file has. It may have holes, as a copy of it has, which a full disk cannot fill: to
 * write there would be death (mmap(2): SIGBUS). */
static char *chunk_of_before(struct records *records, uint32_t chunk)
{
	off_t offset = chunk_offset(records, chunk);
	char *bytes;

	errno = posix_fallocate(records->fd, offset, (off_t)chunk_bytes(records));
	if (errno == 0)
		return chunk_map(records, chunk);
	if (!records->is_volatile)
		tell(records,
			"cannot be written (%s): what is in it is kept in memory, and may come "
			"again "
			"when the relay begins anew",
			strerror(errno));
	records->is_volatile = true;
	bytes = chunk_of_memory(records);
	if (bytes != NULL && pread(records->fd, bytes, chunk_bytes(records), offset) < 0)
		memset(bytes, 0, chunk_bytes(records));
	return bytes;
}

/* Free records are a list: the word behind the first has the next one's index. */
static void chunk_free_all(struct records *records, uint32_t chunk)
{
	for (uint32_t i = CHUNK_RECORDS; i-- > 0;) {
		uint32_t index = chunk * CHUNK_RECORDS + i;

		if (index < records->most) {
			records->used++;
			records_give(records, index);
		}
	}
}

static bool chunk_add(struct records *records)
{
	char *chunk;

	if (records->chunks_count == chunks_most(records))
		return false;
	chunk = chunk_of_file(records);
	if (chunk == NULL) {
		if (!records->is_volatile)
			tell(records,
				"cannot grow (%s): what does not fit is kept in memory, and lost "
				"when "
				"the relay ends",
				strerror(errno));
		records->is_volatile = true;
		chunk = chunk_of_memory(records);
	}
	if (chunk == NULL)
		return false;
	records->chunks[records->chunks_count++] = chunk;
	chunk_free_all(records, records->chunks_count - 1);
	return true;
}

/* Not only left out: it would come back, older than what is said meanwhile. */
static void file_cut(struct records *records)
{
	tell(records, "has room for more than there may be now: what is beyond is lost");
	records->chunks_count = chunks_most(records);
	if (ftruncate(records->fd, chunk_offset(records, records->chunks_count)) != 0)
		tell(records, "cannot be cut: what is beyond may come back");
}

/* Likewise of the last chunk. */
static void records_forget(struct records *records, uint32_t index)
{
	uint32_t *record = record_at(records, index);

	if (record[0] != 0 && !records->is_cut)
		tell(records, "has more than there may be now: what is beyond is lost");
	records->is_cut = records->is_cut || record[0] != 0;
	__atomic_store_n(&record[0], 0, __ATOMIC_RELEASE);
}

/* ---- The whole ---- */

bool records_open(struct records *records, int directory, const char *name, size_t size,
	uint32_t version, uint32_t most)
{
	records->name = name;
	records->size = size;
	records->most = most;
	records->first_free = RECORD_NONE;
	records->chunks = calloc(chunks_most(records), sizeof(*records->chunks));
	if (records->chunks == NULL)
		return false;
	records->fd = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (records->fd >= 0 && flock(records->fd, LOCK_EX | LOCK_NB) != 0)
		return false;
	if (records->fd < 0 || !file_begin(records, version)) {
		tell(records, "cannot be used (%s): what is owed is lost when the relay ends",
			strerror(errno));
		records->is_volatile = true;
		records->chunks_count = 0;
	}
	if (records->chunks_count > chunks_most(records))
		file_cut(records);
	for (uint32_t i = 0; i < records->chunks_count; i++) {
		records->chunks[i] = chunk_of_before(records, i);
		if (records->chunks[i] == NULL)
			return false;
	}
	return true;
}

void records_close(struct records *records)
{
	for (uint32_t i = 0; i < records->chunks_count; i++)
		(void)munmap(records->chunks[i], chunk_bytes(records));
	free(records->chunks);
	if (records->fd >= 0)
		(void)close(records->fd); /* all of it was written through the mapping */
}

void *record_at(const struct records *records, uint32_t index)
{
	return records->chunks[index / CHUNK_RECORDS] +
	       (size_t)(index % CHUNK_RECORDS) * records->size;
}

uint32_t records_take(struct records *records)
{
	uint32_t index, *record;

	if (records->first_free == RECORD_NONE && !chunk_add(records))
		return RECORD_NONE;
	index = records->first_free;
	record = record_at(records, index);
	records->first_free = record[1];
	memset(record, 0, records->size);
	records->used++;
	return index;
}

void records_give(struct records *records, uint32_t index)
{
	uint32_t *record = record_at(records, index);

	__atomic_store_n(&record[0], 0, __ATOMIC_RELAXED);
	/* What overwrites it comes behind: who dies in between leaves no changed record. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	record[1] = records->first_free;
	records->first_free = index;
	records->used--;
}

void records_each(struct records *records, record_keep *keep, void *context)
{
	char boot_id[BOOT_ID_BYTES];

	for (uint32_t index = records->chunks_count * CHUNK_RECORDS; index-- > 0;) {
		uint32_t *record = record_at(records, index);

		if (index >= records->most) {
			records_forget(records, index);
			continue;
		}
		records->used++;
		if (record[0] == 0 || !keep(context, index, record))
			records_give(records, index);
	}
	if (records->fd < 0 || records->is_same_boot || records->is_volatile)
		return;
	/* Not before: after a death in between, the times of all are of another boot still. */
	boot_id_read(boot_id);
	(void)header_write(
		records, records->version, boot_id); /* it can be said at the next start */
}
