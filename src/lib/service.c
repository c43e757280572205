/* SPDX-License-Identifier: ISC */
#include "lib/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"

/* NULL, or what is wrong with it. */
static const char *listener_examine(struct listener *listener, int fd)
{
	int family = fd_socket_option(fd, SO_DOMAIN), type = fd_socket_option(fd, SO_TYPE);
	int flags = fcntl(fd, F_GETFL);

	if (type == -1)
		return "is no socket";
	if (type == SOCK_STREAM && fd_socket_option(fd, SO_ACCEPTCONN) != 1)
		return "is a connection: that takes nmnotify";
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return "is neither stream nor datagram";
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return "is neither internet nor Unix";
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return "cannot be made non-blocking";
	*listener = (struct listener){
		.fd = fd,
		.is_datagram = type == SOCK_DGRAM,
		.is_internet = family != AF_UNIX,
		.is_ipv6 = family == AF_INET6,
	};
	return NULL;
}

/* `names`: what systemd calls them, or NULL. */
static int listeners_examine(struct listener listener[static LISTENERS_MAX], int first, int count,
	char *const *names, const char **wrong)
{
	static char bytes[320]; /* a name has 255 at most (sd_listen_fds_with_names(3)) */
	struct text text = TEXT_IN(bytes);

	if (count > LISTENERS_MAX) {
		*wrong = "too many sockets were handed over";
		return -1;
	}
	for (int i = 0; i < count; i++) {
		const char *what = listener_examine(&listener[i], first + i);

		if (what == NULL)
			continue;
		if (names == NULL)
			text_add(&text, "descriptor %d %s", first + i, what);
		else
			text_add(&text, "descriptor %d (%s) %s", first + i, names[i], what);
		*wrong = bytes;
		return -1;
	}
	return count;
}

#ifdef WITH_SYSTEMD

#include <systemd/sd-daemon.h>

int service_listeners(struct listener listener[static LISTENERS_MAX], const char **wrong)
{
	char **names = NULL; /* ours, as long as the process lives */
	int count = sd_listen_fds_with_names(1, &names);

	if (count < 0) {
		*wrong = "LISTEN_FDS or LISTEN_FDNAMES is wrong";
		return -1;
	}
	if (count == 0)
		return listeners_examine(listener, STDIN_FILENO, 1, NULL, wrong);
	return listeners_examine(listener, SD_LISTEN_FDS_START, count, names, wrong);
}

/* sd_notify(3): what it returns is not worth looking at, as the service works without. */
void service_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void service_reloading(void)
{
	struct timespec now = { 0 };

	/* To the microsecond: systemd ignores the message if this is earlier than its signal
	 * (sd_notify(3)). */
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails for no clock that there is */
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

void service_status(const char *status)
{
	(void)sd_notifyf(0, "STATUS=%s", status);
}

void service_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void service_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

struct span service_watchdog(void)
{
	uint64_t microseconds = 0, ms = 0;

	if (sd_watchdog_enabled(0, &microseconds) > 0)
		ms = microseconds / 1000;
	return (struct span){ .ms = ms < SPAN_MAX_MS ? (uint32_t)ms : SPAN_MAX_MS };
}

#else

void service_reloading(void)
{
}

int service_listeners(struct listener listener[static LISTENERS_MAX], const char **wrong)
{
	return listeners_examine(listener, STDIN_FILENO, 1, NULL, wrong);
}

void service_ready(void)
{
}

void service_status(const char *status)
{
	(void)status;
}

void service_stopping(void)
{
}

void service_alive(void)
{
}

struct span service_watchdog(void)
{
	return (struct span){ .ms = 0 };
}

#endif
