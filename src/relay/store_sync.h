/* SPDX-License-Identifier: ISC */
/*
 * In the relay's process: has the kernel bring a file to the disk, and does not wait for it (Linux
 * AIO, IOCB_CMD_FDSYNC, since 4.18). Where that cannot be had it waits, fdatasync(2).
 */
#ifndef NMNOTIFY_STORE_SYNC_H
#define NMNOTIFY_STORE_SYNC_H

#include <linux/aio_abi.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

/* `error`: 0, or of errno(3). Perhaps before sync_begin() returns. */
typedef void sync_done(void *context, int error);

struct sync {
	aio_context_t aio; /* 0: none */
	int eventfd;       /* tells that it is done; -1: none */
	sd_event_source *source;
	bool is_running;
	sync_done *done;
	void *context;
};

void sync_open(struct sync *sync, sd_event *loop, sync_done *done, void *context);

/* What is running is waited for, and not told. */
void sync_close(struct sync *sync);

/* Not while it is running. */
void sync_begin(struct sync *sync, int fd);

/* Waits for what is running. */
void sync_finish(struct sync *sync);

#endif
