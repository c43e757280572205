/* SPDX-License-Identifier: ISC */
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "text.h"

#define WRONG_MAX                256

#define DESCRIPTORS_FALLBACK_MAX 65536

static bool is_internet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
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
 * May what is written to fd reach the other end? Surely if it is the connection itself or any
 * internet socket. Where descriptor 0 is no internet socket but a stream, a wrapper may have the
 * other end on descriptor 1, too; `tell` says that there is none.
 */
static bool leads_out(int fd, const struct stat st[3], bool tell)
{
	if (!is_stream(&st[fd]))
		return false;
	if (S_ISSOCK(st[fd].st_mode) &&
		(is_same_file(&st[fd], &st[0]) || socket_option(fd, SO_DOMAIN) != AF_UNIX))
		return true;
	if (tell || !is_stream(&st[0]) || is_internet(socket_option(STDIN_FILENO, SO_DOMAIN)))
		return false;
	return fd == STDOUT_FILENO || is_same_file(&st[fd], &st[1]) ||
	       is_same_file(&st[fd], &st[0]);
}

bool connection_void(int fd)
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

void connection_close_from(int first)
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

bool connection_guard(struct connection *connection, bool tell, bool close_rest)
{
	struct stat st[3];
	bool is_open[3] = { true, true, true };

	if (fstat(STDIN_FILENO, &st[0]) != 0)
		return false;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		is_open[fd] = fstat(fd, &st[fd]) == 0;
		if (!is_open[fd]) {
			st[fd] = (struct stat){ .st_mode = S_IFCHR };
			if (!connection_void(fd))
				return false;
		}
	}
	connection->is_socket = S_ISSOCK(st[0].st_mode);
	connection->stdout_usable = is_open[1] && !leads_out(STDOUT_FILENO, st, tell);
	connection->stderr_usable = is_open[2] && !leads_out(STDERR_FILENO, st, tell);
	if (!connection->stderr_usable && !connection_void(STDERR_FILENO))
		return false;
	if (close_rest)
		connection_close_from(STDERR_FILENO + 1);
	return true;
}

/* Where systemd (257) has a Unix socket's path or abstract name for REMOTE_ADDR. */
static bool is_unix_name(const char *text)
{
	return *text == '/' || *text == '@';
}

/* An address as people write it beside a port number, which socat does, too: IPv6 in brackets. */
static bool address_parse(const char *text, struct source *source)
{
	char bare[SOURCE_TEXT_MAX];
	size_t length = strlen(text);

	if (*text != '[')
		return source_parse(text, source);
	if (text[length - 1] != ']' || length - 2 >= sizeof(bare) || strchr(text, ':') == NULL)
		return false;
	memcpy(bare, text + 1, length - 2);
	bare[length - 2] = '\0';
	return source_parse(bare, source);
}

/* Reads the variable, if it is set to an address. NULL, or what is wrong. */
static const char *variable_read(const char *name, struct source *source)
{
	static char wrong[WRONG_MAX];
	struct text text = TEXT_IN(wrong);
	const char *value = getenv(name);

	if (value == NULL || address_parse(value, source))
		return NULL;
	text_add(&text, "%s '%s' is not an address", name, value);
	return wrong;
}

static const char *identify_by_environment(struct connection *connection)
{
	const char *remote = getenv("TCPREMOTEIP") != NULL ? "TCPREMOTEIP" : "REMOTE_ADDR";
	const char *value = getenv(remote), *wrong = NULL;

	connection->source.kind = SOURCE_LOCAL;
	connection->to.kind = SOURCE_LOCAL;
	if (value != NULL && !is_unix_name(value))
		wrong = variable_read(remote, &connection->source);
	return wrong != NULL ? wrong : variable_read("TCPLOCALIP", &connection->to);
}

/*
 * A connection that was reset before we came: the kernel does not know its other end any more.
 * Whoever accepted it has asked, and may have said it: as UCSPI, systemd, xinetd or socat do. Never
 * local: that would give a stranger what is for this machine's own users.
 */
static void identify_reset(struct connection *connection)
{
	static const char *const remote[] = { "TCPREMOTEIP", "REMOTE_ADDR", "REMOTE_HOST",
		"SOCAT_PEERADDR" };

	connection->source.kind = SOURCE_UNKNOWN;
	for (unsigned i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		const char *value = getenv(remote[i]);

		if (value != NULL && address_parse(value, &connection->source))
			return;
	}
}

/* Even one that has hung up, which isatty(3) would not tell. */
static bool is_terminal(int fd)
{
	struct termios mode;

	return tcgetattr(fd, &mode) == 0 || errno == EIO;
}

/*
 * What is no socket: a pipe is a wrapper's; a terminal is somebody who types, and a file is his,
 * too. Anything else is no connection, and most often /dev/null: a super-server that says who the
 * sender is, but does not hand him over. His line must not be called malformed for that.
 */
static const char *identify_other(struct connection *connection)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) != 0)
		return "descriptor 0 cannot be examined";
	if (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode))
		return identify_by_environment(connection);
	if (!S_ISCHR(st.st_mode) || !is_terminal(STDIN_FILENO))
		return "descriptor 0 is no connection, but /dev/null or the like: "
		       "a unit needs StandardInput=socket";
	if (getenv("REMOTE_ADDR") != NULL)
		return "descriptor 0 is no connection, but a terminal: "
		       "a unit needs StandardInput=socket";
	return identify_by_environment(connection);
}

const char *connection_identify(struct connection *connection, bool needs_to)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(address);

	if (!connection->is_socket)
		return identify_other(connection);
	if (getpeername(STDIN_FILENO, (struct sockaddr *)&address, &length) == 0) {
		if (!is_internet(address.ss_family))
			return identify_by_environment(connection);
		connection->source = source_of_sockaddr(&address);
	} else if (socket_option(STDIN_FILENO, SO_ACCEPTCONN) != 0) {
		return "descriptor 0 is a listening socket, not a connection";
	} else if (socket_option(STDIN_FILENO, SO_TYPE) != SOCK_STREAM) {
		return "descriptor 0 is a datagram socket, not a connection";
	} else {
		identify_reset(connection);
	}
	length = sizeof(address);
	if (needs_to) {
		if (getsockname(STDIN_FILENO, (struct sockaddr *)&address, &length) != 0)
			return "the local address is not known";
		connection->to = source_of_sockaddr(&address);
	}
	return NULL;
}

bool connection_close(const struct connection *connection)
{
	/* systemd keeps a descriptor of its own for as long as we live: without this the other end
	 * would wait for that. It may have gone already: as well. */
	if (connection->is_socket)
		(void)shutdown(STDIN_FILENO, SHUT_RDWR);
	/* The lowest free descriptor is the one that open(2) gives. */
	(void)close(STDIN_FILENO); /* nothing was written: nothing can be lost */
	if (open("/dev/null", O_RDWR) != STDIN_FILENO)
		return false;
	return connection->stdout_usable || dup2(STDIN_FILENO, STDOUT_FILENO) >= 0;
}
