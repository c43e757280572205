/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_sync.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static void sync_end(struct sync *sync, int error)
{
	sync->is_running = false;
	sync->done(sync->context, error);
}

/* At most `least` are waited for. Returns whether it was done. */
static bool sync_reap(struct sync *sync, long least)
{
	struct io_event event;
	long got;

	do
		got = syscall(SYS_io_getevents, sync->aio, least, 1L, &event, NULL);
	while (got < 0 && errno == EINTR && least > 0);
	if (got != 1)
		return false;
	sync_end(sync, event.res < 0 ? (int)-event.res : 0);
	return true;
}

static int sync_readable(sd_event_source *source, int fd, uint32_t revents, void *context)
{
	uint64_t count;

	(void)source;
	(void)revents;
	/* It only wakes us up, each time anew: were it not read, nothing would be lost. */
	(void)!read(fd, &count, sizeof(count));
	(void)sync_reap(context, 0);
	return 0;
}

void sync_open(struct sync *sync, sd_event *loop, sync_done *done, void *context)
{
	*sync = (struct sync){ .done = done, .context = context };
	sync->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sync->eventfd < 0 || syscall(SYS_io_setup, 1, &sync->aio) != 0)
		sync->aio = 0;
	if (sync->aio != 0 && sd_event_add_io(loop, &sync->source, sync->eventfd, EPOLLIN | EPOLLET,
				      sync_readable, sync) < 0) {
		(void)syscall(SYS_io_destroy, sync->aio);
		sync->aio = 0;
	}
}

void sync_close(struct sync *sync)
{
	sd_event_source_disable_unref(sync->source);
	if (sync->aio != 0)
		(void)syscall(SYS_io_destroy, sync->aio);
	if (sync->eventfd >= 0)
		(void)close(sync->eventfd);
	*sync = (struct sync){ .eventfd = -1 };
}

void sync_begin(struct sync *sync, int fd)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_FDSYNC,
		.aio_fildes = (uint32_t)fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)sync->eventfd };
	struct iocb *requests[] = { &request };

	sync->is_running = true;
	if (sync->aio == 0 || syscall(SYS_io_submit, sync->aio, 1L, requests) != 1)
		sync_end(sync, fdatasync(fd) == 0 ? 0 : errno);
}

void sync_finish(struct sync *sync)
{
	if (sync->is_running && !sync_reap(sync, 1))
		sync_end(sync, errno);
}
