/* SPDX-License-Identifier: ISC */
/*
 * In the relay.
 */
#include "relay/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/text.h"

#define SLOTS         INBOX_LETTERS
#define CONTROL_BYTES 128
#define FILE_NAME     "inbox"

/* One whose first byte is 0 is empty. It is emptied from the first byte on. */
struct slot {
	uint64_t came_at;
	uint32_t length; /* 0: not known */
	uint32_t kind, is_cut;
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES];
	char bytes[INBOX_BYTES];
};

struct inbox {
	struct slot *slot;
	inbox_reader *reader;
	void *context;
};

/* ---- The file ---- */

static void *memory_map(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* One of another size is another version's: what it said cannot be read. -1 with errno set. */
static int file_open(int directory, size_t size, bool *is_lost)
{
	int fd = openat(directory, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = 0;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || ((size_t)st.st_size != size && ftruncate(fd, 0) != 0))
		error = errno;
	else
		*is_lost = st.st_size != 0 && (size_t)st.st_size != size;
	if (error == 0)
		error = posix_fallocate(fd, 0, (off_t)size);
	if (error == 0)
		return fd;
	(void)close(fd); /* nothing was written */
	errno = error;
	return -1;
}

struct inbox *inbox_open(int directory, inbox_reader *reader, records_logger *logger, void *context)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));
	size_t size = SLOTS * sizeof(struct slot);
	char bytes[256];
	struct text text = TEXT_IN(bytes);
	bool is_lost = false;
	int fd;

	if (inbox == NULL)
		return NULL;
	inbox->reader = reader;
	inbox->context = context;
	fd = file_open(directory, size, &is_lost);
	if (fd < 0) {
		text_add(&text,
			FILE_NAME ": cannot be used (%s): what is being read is lost when the "
				  "relay is killed",
			strerror(errno));
		logger(context, bytes);
	}
	if (is_lost)
		logger(context, FILE_NAME ": is damaged or of another version: what was being "
					  "read is lost, and it begins afresh");
	inbox->slot = memory_map(fd, size);
	if (fd >= 0)
		(void)close(fd); /* the mapping stays */
	/* The kernel copies a datagram to where it is: it need not wait for a page then, in which a
	 * death could come. Where it may not, that is left to chance. */
	if (inbox->slot != NULL)
		(void)mlock(inbox->slot, size);
	if (inbox->slot == NULL) {
		free(inbox);
		return NULL;
	}
	return inbox;
}

void inbox_close(struct inbox *inbox)
{
	(void)munmap(inbox->slot, SLOTS * sizeof(struct slot));
	free(inbox);
}

/* ---- Reading ---- */

/* `length`: of its bytes, which may not be zero. */
static void slot_empty(struct slot *slot, size_t length)
{
	__atomic_store_n(&slot->bytes[0], '\0', __ATOMIC_RELEASE);
	memset(slot->bytes, 0, length);
	memset(slot->control, 0, sizeof(slot->control));
	slot->length = 0;
	slot->came_at = 0;
}

/* What the kernel has said beside the bytes: its words of that type, into `to`. False: none. */
static bool control_find(struct slot *slot, int type, void *to, size_t size)
{
	struct msghdr header = { .msg_control = slot->control,
		.msg_controllen = sizeof(slot->control) };

	for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part != NULL && part->cmsg_len != 0;
		part = CMSG_NXTHDR(&header, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != type ||
			part->cmsg_len != CMSG_LEN(size))
			continue;
		memcpy(to, CMSG_DATA(part), size);
		return true;
	}
	return false;
}

/* Whoever may write to a Unix socket can put descriptors beside his bytes, and the kernel has
 * opened them here. Only of what was received just now: of one that a death has left they are
 * numbers. */
static void control_close(struct slot *slot)
{
	struct msghdr header = { .msg_control = slot->control,
		.msg_controllen = sizeof(slot->control) };

	for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part != NULL && part->cmsg_len != 0;
		part = CMSG_NXTHDR(&header, part)) {
		int fd;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= part->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, (const char *)part + at, sizeof(fd));
			(void)close(fd); /* nothing was written */
		}
	}
}

static void slot_read(struct inbox *inbox, struct slot *slot, uint32_t *lost)
{
	struct letter letter = { .kind = slot->kind < INBOX_KINDS ? slot->kind : INBOX_NOTICE,
		.bytes = slot->bytes,
		.length = slot->length,
		.is_cut = slot->is_cut != 0,
		.came = { .ms = slot->came_at } };
	struct ucred sender;

	if (control_find(slot, SCM_CREDENTIALS, &sender, sizeof(sender))) {
		letter.has_sender = true;
		letter.uid = sender.uid;
		letter.gid = sender.gid;
	}
	(void)control_find(slot, SO_RXQ_OVFL, lost, sizeof(*lost)); /* it stays as it was */
	inbox->reader(inbox->context, &letter);
}

void inbox_read_left(struct inbox *inbox, struct instant now)
{
	uint32_t lost;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &inbox->slot[i];

		if (slot->length > INBOX_BYTES)
			slot->length = 0;
		/* The death came before the length was written: no datagram ends in zeros but
		 * Cyrus's and biff's, which may lack theirs. */
		for (unsigned end = INBOX_BYTES; slot->length == 0 && end > 0; end--)
			if (slot->bytes[end - 1] != '\0')
				slot->length = end;
		if (slot->came_at > now.ms)
			slot->came_at = 0;
		if (slot->bytes[0] != '\0')
			slot_read(inbox, slot, &lost);
		slot_empty(slot, INBOX_BYTES);
	}
}

void inbox_prepare(int fd, enum inbox_kind kind)
{
	const int yes = 1;

	/* A socket that cannot is worth less, and serves all the same. */
	if (kind == INBOX_NOTICE || kind == INBOX_PROXIED)
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
	(void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
	(void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
}

/* How long ago the kernel has taken a letter. Where it does not say so, and where the clock has
 * been set back since then, that is taken for now. One that was set forward makes a letter old. */
static struct span age(struct slot *slot, const struct timespec *now)
{
	struct timespec then;
	int64_t ms;

	if (!control_find(slot, SCM_TIMESTAMPNS, &then, sizeof(then)))
		return (struct span){ .ms = 0 };
	ms = (int64_t)(now->tv_sec - then.tv_sec) * 1000 + (now->tv_nsec - then.tv_nsec) / 1000000;
	return (struct span){ .ms = ms < 0                     ? 0
				    : ms > (int64_t)UINT32_MAX ? UINT32_MAX
							       : (uint32_t)ms };
}

int inbox_receive(
	struct inbox *inbox, int fd, enum inbox_kind kind, struct instant now, uint32_t *lost)
{
	struct mmsghdr message[SLOTS];
	struct iovec part[SLOTS];
	struct timespec wall;
	int count;

	memset(message, 0, sizeof(message));
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &inbox->slot[i];

		slot->kind = kind;
		slot->is_cut = 0;
		part[i] = (struct iovec){ .iov_base = slot->bytes, .iov_len = INBOX_BYTES };
		message[i].msg_hdr = (struct msghdr){ .msg_iov = &part[i],
			.msg_iovlen = 1,
			.msg_control = slot->control,
			.msg_controllen = CONTROL_BYTES };
	}
	count = recvmmsg(fd, message, SLOTS, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	(void)clock_gettime(CLOCK_REALTIME, &wall); /* clock_gettime(2): fails for no such clock */
	for (int i = 0; i < count; i++) {
		uint64_t old = age(&inbox->slot[i], &wall).ms;

		control_close(&inbox->slot[i]);
		inbox->slot[i].came_at = old < now.ms ? now.ms - old : 1;
		inbox->slot[i].is_cut = (message[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
		inbox->slot[i].length = message[i].msg_len;
	}
	for (int i = 0; i < count; i++) {
		slot_read(inbox, &inbox->slot[i], lost);
		slot_empty(&inbox->slot[i], inbox->slot[i].length);
	}
	return count;
}
