/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/siphash.h"

#define JOURNAL_NAME "logins"

/* Of another version: begun afresh. */
static const char magic[16] = "nmnotify logins1";

/* The kernel's, another one after each start of the machine. Where it cannot be read (ProcSubset=
 * of systemd.exec(5)) the machine counts as having gone down. */
static void boot_read(char boot[BOOT_ID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(boot, 0, BOOT_ID_SIZE);
	if (fd < 0)
		return;
	if (read(fd, boot, BOOT_ID_SIZE - 1) < 0)
		boot[0] = '\0';
	(void)close(fd);
}

/* Bound to no secret: it is against accidents. */
static uint64_t check_of(const struct login *login)
{
	static const uint64_t key[2] = { 0x6c6f67696e736f66, 0x6e6d6e6f74696679 };
	const uint8_t *bytes = (const uint8_t *)login + sizeof(login->check);
	size_t length = strnlen(login->user, sizeof(login->user) - 1);

	return siphash(key, bytes, offsetof(struct login, user) - sizeof(login->check) + length);
}

static void begin(struct journal_file *file)
{
	atomic_store(&file->count, 0);
	atomic_store(&file->synced, 0);
	memcpy(file->magic, magic, sizeof(magic));
}

static void read_header(struct journal *journal)
{
	struct journal_file *file = journal->file;
	char boot[BOOT_ID_SIZE];

	boot_read(boot);
	if (memcmp(file->magic, magic, sizeof(magic)) != 0 ||
		atomic_load(&file->count) > JOURNAL_LOGINS)
		begin(file);
	else
		journal->machine_ran =
			boot[0] != '\0' && memcmp(file->boot, boot, BOOT_ID_SIZE) == 0;
	memcpy(file->boot, boot, BOOT_ID_SIZE);
}

static const char *map(struct journal *journal)
{
	int error;
	void *place;

	if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? "another relay uses its directory" : strerror(errno);
	/* With room on the disk for all of it: a page that has none would be a SIGBUS. */
	error = posix_fallocate(journal->fd, 0, sizeof(struct journal_file));
	if (error != 0)
		return strerror(error);
	place = mmap(NULL, sizeof(struct journal_file), PROT_READ | PROT_WRITE, MAP_SHARED,
		journal->fd, 0);
	if (place == MAP_FAILED)
		return strerror(errno);
	journal->file = place;
	return NULL;
}

const char *journal_open(struct journal *journal, int directory)
{
	const char *wrong;

	*journal = (struct journal){ .fd = openat(directory, JOURNAL_NAME,
					     O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) };
	if (journal->fd < 0)
		return strerror(errno);
	wrong = map(journal);
	if (wrong == NULL)
		read_header(journal);
	else
		journal_close(journal);
	return wrong;
}

void journal_close(struct journal *journal)
{
	if (journal->file != NULL)
		(void)munmap(journal->file, sizeof(*journal->file));
	(void)close(journal->fd);
	*journal = (struct journal){ .fd = -1 };
}

bool journal_add(
	struct journal *journal, const char *user, const struct source *address, uint64_t seconds)
{
	uint32_t count = journal_count(journal);
	struct login *login = &journal->file->login[count];
	size_t length = strlen(user);

	if (count == JOURNAL_LOGINS || length == 0 || length > USER_NAME_MAX)
		return false;
	memset(login, 0, offsetof(struct login, user));
	login->seconds = seconds;
	login->address.kind = address->kind;
	login->address.scope = address->scope;
	memcpy(login->address.address, address->address, sizeof(address->address));
	memcpy(login->user, user, length + 1);
	login->check = check_of(login);
	/* Pairs with journal_count() of the process after us: what it counts is whole. */
	atomic_store_explicit(&journal->file->count, count + 1, memory_order_release);
	return true;
}

uint32_t journal_count(const struct journal *journal)
{
	return (uint32_t)atomic_load_explicit(&journal->file->count, memory_order_acquire);
}

const struct login *journal_at(const struct journal *journal, uint32_t number)
{
	const struct login *login = &journal->file->login[number];

	if (login->user[sizeof(login->user) - 1] != '\0' || login->user[0] == '\0' ||
		(login->address.kind != SOURCE_IPV4 && login->address.kind != SOURCE_IPV6) ||
		login->check != check_of(login))
		return NULL;
	return login;
}

void journal_empty(struct journal *journal)
{
	atomic_store(&journal->file->count, 0);
}

void journal_synced(struct journal *journal, uint64_t transaction, bool waits)
{
	atomic_store(&journal->file->synced, transaction);
	if (waits)
		(void)fdatasync(journal->fd);
}
