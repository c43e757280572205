/* SPDX-License-Identifier: ISC */
/*
 * On i386 and s390 glibc makes socket calls by socketcall(2), whose arguments no filter can see, so
 * that policies refuse it. Linux has each of them as a call of its own there, too, since 4.3: these
 * are for our programs, in glibc's place. They are called by the names of the standard headers, but
 * without what those have for _GNU_SOURCE and for checks of bounds.
 */
#undef _GNU_SOURCE
#undef _FORTIFY_SOURCE
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): it is the libc's. */
#define _DEFAULT_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__GLIBC__) && (defined(__i386__) || defined(__s390__))

int accept4(int fd, struct sockaddr *from, socklen_t *length, int flags);

int accept(int fd, struct sockaddr *from, socklen_t *length)
{
	return accept4(fd, from, length, 0);
}

int accept4(int fd, struct sockaddr *from, socklen_t *length, int flags)
{
	return (int)syscall(SYS_accept4, fd, from, length, flags);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return (int)syscall(SYS_bind, fd, address, length);
}

int connect(int fd, const struct sockaddr *to, socklen_t length)
{
	return (int)syscall(SYS_connect, fd, to, length);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
	return (int)syscall(SYS_getpeername, fd, address, length);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	return (int)syscall(SYS_getsockname, fd, address, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	return (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}

int listen(int fd, int backlog)
{
	return (int)syscall(SYS_listen, fd, backlog);
}

ssize_t recvfrom(
	int fd, void *bytes, size_t size, int flags, struct sockaddr *from, socklen_t *length)
{
	return syscall(SYS_recvfrom, fd, bytes, size, flags, from, length);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	return recvfrom(fd, bytes, size, flags, NULL, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	return syscall(SYS_recvmsg, fd, message, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
	socklen_t length)
{
	return syscall(SYS_sendto, fd, bytes, size, flags, to, length);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	return sendto(fd, bytes, size, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	return syscall(SYS_sendmsg, fd, message, flags);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}

int shutdown(int fd, int how)
{
	return (int)syscall(SYS_shutdown, fd, how);
}

int socket(int domain, int type, int protocol)
{
	return (int)syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	return (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

#endif
