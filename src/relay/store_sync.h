/* SPDX-License-Identifier: ISC */
/*
 * Has the kernel bring a file to the disk, without waiting for it (Linux AIO, IOCB_CMD_FDSYNC,
 * since 4.18). Where that cannot be had, it waits, in fdatasync(2).
 *
 * It is there because a disk can take seconds, and notices of mail would wait for it. Nothing else
 * does it without one more thread, which relay.policy does not allow, or process.
 *
 * In the relay: as the user it was started as; once all is open, under relay.policy.
 */
#ifndef NMNOTIFY_STORE_SYNC_H
#define NMNOTIFY_STORE_SYNC_H

#include <linux/aio_abi.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

/* `error`: 0, or of errno(3). It may be called before sync_begin() returns. */
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

/* Waits for what is running; `done` is not called. */
void sync_close(struct sync *sync);

/* Not to be called while it is running. */
void sync_begin(struct sync *sync, int fd);

/* Waits for what is running, and calls `done`. */
void sync_finish(struct sync *sync);

#endif
