/* SPDX-License-Identifier: ISC */
/*
 * Descriptors: where 0 to 2 lead, closing those that nobody needs, and what sockets have in common:
 * how they are made, connected and sent to, and what their errors mean.
 */
#ifndef NMNOTIFY_FD_H
#define NMNOTIFY_FD_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/source.h"

/* What the standard streams are: under inetd all three are the network. */
struct streams {
	bool is_socket;     /* descriptor 0 is a socket of any kind */
	bool stdout_usable; /* does not lead to the other end, as far as can be told */
	bool stderr_usable; /* likewise */
};

/*
 * To be called before anything is written: finds out where descriptors 1 and 2 lead. /dev/null
 * takes the place of 2 if that leads to the other end, and of 1 or 2 if it is not open. An open
 * descriptor 1 is not closed before connection_close(): a wrapper whose pipe it is takes its
 * closing for the end of this process. `tell`: this process was started for -h, -V or -t, so there
 * is no connection, and a pipe leads to somebody who wants to read the answer. `close_rest`: closes
 * all above 2. False with errno set: descriptor 0 is not there, or there is no /dev/null.
 */
bool streams_guard(struct streams *streams, bool tell, bool close_rest);

/* A number that is an option of a socket (socket(7)); -1: it has none. */
int fd_socket_option(int fd, int option);

/* The local address of a socket. False with errno set. */
bool fd_local_address(int fd, struct source *address);

/* A new socket, close-on-exec. Its number is above 2 even if one of 0 to 2 is not open: else it
 * would get what is written to standard error. -1 with errno set. */
int fd_socket(int domain, int type);

/* Each sends all of it at once, without waiting, or fails with errno set: to where a socket is
 * connected, or a datagram to the Unix socket of that name. */
bool fd_send(int fd, const void *bytes, size_t length);
bool fd_send_to(int fd, const char *path, const void *bytes, size_t length);

/* Connects to the Unix socket of that name. False with errno set. */
bool fd_connect_to(int fd, const char *path);

/* Can a line be written there without waiting? */
bool fd_is_ready(int fd);

/* Did a call on a socket that was not to wait fail only for now? Either nothing has come, or there
 * is no room (for Unix sockets that can be ENOBUFS), or a signal came. */
static inline bool fd_would_wait(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR;
}

/* Did a lock that was not to be waited for fail because another has it? By fcntl(2) it can be
 * either error.
 */
static inline bool fd_is_locked(int error)
{
	return error == EAGAIN || error == EACCES;
}

/* Closes a descriptor, through which nothing was written that could be lost. -1: there is none. */
void fd_close_if_open(int fd);

/* Closes this descriptor and all above it; or, in one call, up to the last one. */
void fd_close_from(int first);
void fd_close_range(int first, int last);

/* What getdents64(2) writes; an entry's `length` is the way to the next one. */
struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	unsigned char type;
	char name[];
};

/* Reads some of a directory's entries, without opendir(3), which would bring malloc(3) into the
 * handler. Returns their bytes; 0: there are no more; negative, with errno set. */
long fd_entries(int directory, char *buffer, size_t size);

/* Has a directory no entry but those of a list that ends with NULL? It must be read for the first
 * time. False also if it cannot be read. */
bool fd_holds_only(int directory, const char *const *names);

/* Puts /dev/null in the place of a descriptor, open or not. False with errno set. */
bool fd_void(int fd);

#endif
