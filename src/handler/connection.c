/* SPDX-License-Identifier: ISC */
#include "handler/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "lib/text.h"

#define WRONG_MAX 256

/* Where systemd (257) has a Unix socket's path or abstract name for REMOTE_ADDR. */
static bool is_unix_name(const char *text)
{
	return *text == '/' || *text == '@';
}

/* An address as people write it beside a port number, which socat does, too: IPv6 in brackets. */
static bool address_parse(const char *text, struct source *source)
{
	char host[SOURCE_HOST_MAX];
	const char *port;

	return source_split(text, host, &port) && port == NULL &&
	       (*text != '[' || strchr(text, ':') != NULL) && source_parse(host, source);
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

	if (!connection->streams.is_socket)
		return identify_other(connection);
	if (getpeername(STDIN_FILENO, (struct sockaddr *)&address, &length) == 0) {
		connection->source = source_of_sockaddr(&address);
		if (connection->source.kind == SOURCE_LOCAL)
			return identify_by_environment(connection);
	} else if (fd_socket_option(STDIN_FILENO, SO_ACCEPTCONN) != 0) {
		return "descriptor 0 is a listening socket, not a connection";
	} else if (fd_socket_option(STDIN_FILENO, SO_TYPE) != SOCK_STREAM) {
		return "descriptor 0 is a datagram socket, not a connection";
	} else {
		identify_reset(connection);
	}
	if (needs_to && !fd_local_address(STDIN_FILENO, &connection->to))
		return "the local address is not known";
	return NULL;
}

void connection_none(struct connection *connection)
{
	connection->source.kind = SOURCE_LOCAL;
	connection->streams.is_socket = false; /* descriptor 0 is not ours to shut down */
}

bool connection_close(const struct connection *connection)
{
	/* systemd keeps a descriptor of its own for as long as we live: without this the other end
	 * would wait for that. It may have gone already: that is fine. */
	if (connection->streams.is_socket)
		(void)shutdown(STDIN_FILENO, SHUT_RDWR);
	/* The lowest free descriptor is the one that open(2) gives. */
	(void)close(STDIN_FILENO); /* nothing was written: nothing can be lost */
	if (open("/dev/null", O_RDWR) != STDIN_FILENO)
		return false;
	return connection->streams.stdout_usable || dup2(STDIN_FILENO, STDOUT_FILENO) >= 0;
}
