/* SPDX-License-Identifier: ISC */
#include "lib/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS_FALLBACK_MAX 65536

int fd_socket_option(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

bool fd_local_address(int fd, struct source *address)
{
	struct sockaddr_storage socket = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(socket);

	if (getsockname(fd, (struct sockaddr *)&socket, &length) != 0)
		return false;
	*address = source_of_sockaddr(&socket);
	return true;
}

int fd_socket(int domain, int type)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, 0), above;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	(void)close(fd); /* does not fail, so errno is still fcntl's */
	return above;
}

static bool name_socket(struct sockaddr_un *address, const char *path)
{
	size_t size = strlen(path) + 1;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (size > sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(address->sun_path, path, size);
	return true;
}

static bool send_whole(int fd, const void *bytes, size_t length, const struct sockaddr_un *to)
{
	return sendto(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to,
		       to == NULL ? 0 : sizeof(*to)) == (ssize_t)length;
}

bool fd_send(int fd, const void *bytes, size_t length)
{
	return send_whole(fd, bytes, length, NULL);
}

bool fd_send_to(int fd, const char *path, const void *bytes, size_t length)
{
	struct sockaddr_un address;

	return name_socket(&address, path) && send_whole(fd, bytes, length, &address);
}

bool fd_connect_to(int fd, const char *path)
{
	struct sockaddr_un address;

	return name_socket(&address, path) &&
	       connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* A pipe that is ready has room for a line (pipe(7), PIPE_BUF). One that nobody reads any more is
 * not. */
bool fd_is_ready(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

	return poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLOUT;
}

static bool is_internet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_stream(const struct stat *st)
{
	return S_ISSOCK(st->st_mode) || S_ISFIFO(st->st_mode);
}

/*
 * May what is written to fd reach the other end? It does if fd is the connection itself, or any
 * socket but a Unix one. Where descriptor 0 is a pipe or a Unix socket, a wrapper may be behind it:
 * then descriptor 1 may lead to the other end, and so may what is the same file as 0 or 1. With
 * `tell` there is no other end.
 */
static bool leads_out(int fd, const struct stat st[3], bool tell)
{
	if (!is_stream(&st[fd]))
		return false;
	if (S_ISSOCK(st[fd].st_mode) &&
		(is_same_file(&st[fd], &st[0]) || fd_socket_option(fd, SO_DOMAIN) != AF_UNIX))
		return true;
	if (tell || !is_stream(&st[0]) || is_internet(fd_socket_option(STDIN_FILENO, SO_DOMAIN)))
		return false;
	return fd == STDOUT_FILENO || is_same_file(&st[fd], &st[1]) ||
	       is_same_file(&st[fd], &st[0]);
}

bool fd_void(int fd)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return false;
	if (null == fd)
		return true;
	if (dup2(null, fd) < 0)
		return false;
	(void)close(null); /* /dev/null has nothing to lose */
	return true;
}

void fd_close_if_open(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void fd_close_from(int first)
{
	struct rlimit limit = { .rlim_cur = DESCRIPTORS_FALLBACK_MAX };

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	/* Before Linux 5.9. getrlimit cannot fail here; if it did, the bound above stands. */
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = first; fd < DESCRIPTORS_FALLBACK_MAX && (rlim_t)fd < limit.rlim_cur; fd++)
		(void)close(fd);
}

void fd_close_range(int first, int last)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, last, 0) == 0)
		return;
#endif
	for (int fd = first; fd <= last; fd++)
		(void)close(fd);
}

static bool is_among(const char *name, const char *const *names)
{
	while (*names != NULL && strcmp(name, *names) != 0)
		names++;
	return *names != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

long fd_entries(int directory, char *buffer, size_t size)
{
	return syscall(SYS_getdents64, directory, buffer, size);
}

bool fd_holds_only(int directory, const char *const *names)
{
	/* No sanitizer knows what the call writes. */
	_Alignas(struct directory_entry) char buffer[512] = { 0 };
	const struct directory_entry *entry;
	long size;

	while ((size = fd_entries(directory, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < size; at += entry->length) {
			entry = (const void *)(buffer + at);
			if (!is_among(entry->name, names))
				return false;
		}
	}
	return size == 0;
}

bool streams_guard(struct streams *streams, bool tell, bool close_rest)
{
	struct stat st[3];
	bool is_open[3] = { true, true, true };

	if (fstat(STDIN_FILENO, &st[0]) != 0)
		return false;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		is_open[fd] = fstat(fd, &st[fd]) == 0;
		if (!is_open[fd]) {
			st[fd] = (struct stat){ .st_mode = S_IFCHR };
			if (!fd_void(fd))
				return false;
		}
	}
	streams->is_socket = S_ISSOCK(st[0].st_mode);
	streams->stdout_usable = is_open[1] && !leads_out(STDOUT_FILENO, st, tell);
	streams->stderr_usable = is_open[2] && !leads_out(STDERR_FILENO, st, tell);
	if (!streams->stderr_usable && !fd_void(STDERR_FILENO))
		return false;
	if (close_rest)
		fd_close_from(STDERR_FILENO + 1);
	return true;
}
