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
static const char magic[16] = "nmnotify logins2";

/* Bound to no secret: it is against accidents. */
static uint64_t check_of(const struct login *login)
{
	static const uint64_t key[2] = { 0x6c6f67696e736f66, 0x6e6d6e6f74696679 };
	const uint8_t *bytes = (const uint8_t *)login + sizeof(login->check);
	size_t length = strnlen(login->user, sizeof(login->user) - 1);

	return siphash(key, bytes, offsetof(struct login, user) - sizeof(login->check) + length);
}

/* It is on the disk before the first commit is: if there is none after a start of the machine, then
 * there was none. */
static void begin_if_new(struct journal *journal)
{
	struct journal_file *file = journal->file;

	if (memcmp(file->magic, magic, sizeof(magic)) == 0 &&
		file->end - file->begin <= JOURNAL_LOGINS)
		return;
	journal->is_new = true;
	/* Each pairs with its load in the process after us. */
	__atomic_store_n(&file->begin, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&file->end, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&file->synced, 0, __ATOMIC_RELEASE);
	/* Who dies here leaves no file that has begun. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(file->magic, magic, sizeof(magic));
	(void)fdatasync(journal->fd);
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
		begin_if_new(journal);
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
	uint64_t end = journal_end(journal);
	struct login *login = &journal->file->login[end % JOURNAL_LOGINS];
	size_t length = strlen(user);

	if (journal_is_full(journal) || length == 0 || length > USER_NAME_MAX)
		return false;
	memset(login, 0, offsetof(struct login, user));
	login->seconds = seconds;
	login->address.kind = address->kind;
	login->address.scope = address->scope;
	memcpy(login->address.address, address->address, sizeof(address->address));
	memcpy(login->user, user, length + 1);
	login->check = check_of(login);
	/* Pairs with journal_end() of the process after us: what is before it is whole. */
	__atomic_store_n(&journal->file->end, end + 1, __ATOMIC_RELEASE);
	return true;
}

uint64_t journal_begin(const struct journal *journal)
{
	/* Pairs with journal_synced(). */
	return __atomic_load_n(&journal->file->begin, __ATOMIC_ACQUIRE);
}

uint64_t journal_end(const struct journal *journal)
{
	/* Pairs with journal_add(). */
	return __atomic_load_n(&journal->file->end, __ATOMIC_ACQUIRE);
}

bool journal_is_full(const struct journal *journal)
{
	return journal_end(journal) - journal_begin(journal) == JOURNAL_LOGINS;
}

const struct login *journal_at(const struct journal *journal, uint64_t number)
{
	const struct login *login = &journal->file->login[number % JOURNAL_LOGINS];

	if (login->user[sizeof(login->user) - 1] != '\0' || login->user[0] == '\0' ||
		(login->address.kind != SOURCE_IPV4 && login->address.kind != SOURCE_IPV6) ||
		login->check != check_of(login))
		return NULL;
	return login;
}

/* In this order: a login that is put in once more does no harm. Pairs with the loads of both. */
void journal_synced(struct journal *journal, uint64_t transaction, uint64_t begin, bool waits)
{
	__atomic_store_n(&journal->file->synced, transaction, __ATOMIC_RELEASE);
	__atomic_store_n(&journal->file->begin, begin, __ATOMIC_RELEASE);
	if (waits)
		(void)fdatasync(journal->fd);
}
