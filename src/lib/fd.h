/* SPDX-License-Identifier: ISC */
/*
 * Descriptors: what 0 to 2 lead to, the closing of what nobody wants, and what a socket's errors
 * mean.
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
 * First of all: finds out what descriptors 1 and 2 are. /dev/null takes the place of 2 if that
 * leads to the other end, and of either if it is not open. Descriptor 1 stays as it is until
 * connection_close(): a wrapper takes its end for ours. With `tell`, nothing is a connection and
 * pipes are somebody who wants to read what -h, -V and -t say. Closes all above 2 if `close_rest`.
 * False with errno set: descriptor 0 is not there, or there is no /dev/null.
 */
bool streams_guard(struct streams *streams, bool tell, bool close_rest);

/* A number that is an option of a socket (socket(7)); -1: it has none. */
int fd_socket_option(int fd, int option);

/* The local address of a socket. False with errno set. */
bool fd_local_address(int fd, struct source *address);

/* A new socket, close-on-exec, with a number above 2, be those open or not: what is meant for
 * standard error never gets there. -1 with errno set. */
int fd_socket(int domain, int type);

/* Each sends all of it at once, without waiting, or fails with errno set: to where a socket is
 * connected, or a datagram to the Unix socket of that name. */
bool fd_send(int fd, const void *bytes, size_t length);
bool fd_send_to(int fd, const char *path, const void *bytes, size_t length);

/* Connects to the Unix socket of that name. False with errno set. */
bool fd_connect_to(int fd, const char *path);

/* Could a line be written there now, without waiting? */
bool fd_is_ready(int fd);

/* Did a call on a socket that was not to wait fail only for now? Nothing has come, or there is no
 * room, which for local sockets can be ENOBUFS; or a signal came. */
static inline bool fd_would_wait(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR;
}

/* Did a lock that was not to be waited for fail because another has it? fcntl(2): it can be either.
 */
static inline bool fd_is_locked(int error)
{
	return error == EAGAIN || error == EACCES;
}

/* Closes one through which nothing was written that could be lost; -1: there is none. */
void fd_close_if_open(int fd);

/* Closes this descriptor and all above it. */
void fd_close_from(int first);

/* Has a directory, read from its beginning, no entry but those of a list that ends with a NULL?
 * False also if it cannot be read. */
bool fd_holds_only(int directory, const char *const *names);

/* Puts /dev/null in the place of a descriptor. False with errno set. */
bool fd_void(int fd);

#endif
