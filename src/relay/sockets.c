/* SPDX-License-Identifier: ISC */
#include "relay/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/fd.h"
#include "sender/notice.h"

/* ---- Handed over ---- */

static enum inbox_kind kind_of_local(const char *name)
{
	if (strcmp(name, CYRUS_SOCKET_NAME) == 0)
		return INBOX_CYRUS;
	return strcmp(name, PROXIED_SOCKET_NAME) == 0 ? INBOX_PROXIED : INBOX_NOTICE;
}

static bool kind_of(int fd, const char *name, enum inbox_kind *kind)
{
	if (sd_is_socket(fd, AF_UNIX, SOCK_DGRAM, 0) > 0)
		*kind = kind_of_local(name);
	else if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_DGRAM, 0, 0) > 0)
		*kind = INBOX_BIFF;
	else
		return false;
	return true;
}

static bool is_for_status(int fd, const char *name)
{
	return strcmp(name, STATUS_SOCKET_NAME) == 0 &&
	       sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
}

static bool take(struct sockets *sockets, int fd, const char *name, struct text *wrong)
{
	struct socket *socket = &sockets->socket[sockets->count];

	if (sockets->status < 0 && is_for_status(fd, name)) {
		sockets->status = fd;
		return true;
	}
	socket->fd = fd;
	if (kind_of(fd, name, &socket->kind)) {
		sockets->count++;
		return true;
	}
	text_add(wrong,
		"socket %s is not for datagrams, be it of Unix or UDP: ListenDatagram= makes one",
		name);
	return false;
}

bool sockets_take(struct sockets *sockets, struct text *wrong)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names);

	*sockets = (struct sockets){ .status = -1 };
	if (count <= 0 || count > SOCKETS_MAX) {
		text_add(wrong,
			count <= 0 ? "systemd has handed over no socket: with -l the relay "
				     "makes its own"
				   : "more than %d sockets are too many",
			SOCKETS_MAX);
		return false;
	}
	for (int i = 0; i < count; i++)
		if (!take(sockets, SD_LISTEN_FDS_START + i, names[i], wrong))
			return false;
	return true;
}

static void drop(int fd)
{
	char byte;

	/* The rest of a datagram goes, too. Nothing but Cyrus writes there. */
	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		;
}

bool sockets_drop_cyrus(void)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(0, &names);
	bool has_cyrus = false;

	for (int i = 0; i < count; i++) {
		enum inbox_kind kind;

		if (kind_of(SD_LISTEN_FDS_START + i, names[i], &kind) && kind == INBOX_CYRUS) {
			drop(SD_LISTEN_FDS_START + i);
			has_cyrus = true;
		}
		free(names[i]);
	}
	free(names);
	return has_cyrus;
}

/* ---- Made ---- */

/* Somebody answers there, or it is something else. */
static bool is_taken(int fd, const struct sockaddr_un *address, struct text *wrong)
{
	struct stat st;

	if (lstat(address->sun_path, &st) != 0)
		return false;
	if (!S_ISSOCK(st.st_mode))
		text_add(wrong, "%s is there already, and no socket", address->sun_path);
	else if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		text_add(wrong, "%s: another process answers there", address->sun_path);
	else
		(void)unlink(address->sun_path); /* bind(2) says if that has failed */
	return wrong->length != 0;
}

static int local_make(const char *path, int type, mode_t mode, struct text *wrong)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		text_add(wrong, "%s: the name of a socket has at most %u bytes", path,
			(unsigned)sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	fd = fd_socket(AF_UNIX, type | SOCK_NONBLOCK);
	if (fd >= 0 && is_taken(fd, &address, wrong)) {
		(void)close(fd);
		return -1;
	}
	if (fd >= 0)
		(void)close(fd); /* it may be connected: another one */
	fd = fd_socket(AF_UNIX, type | SOCK_NONBLOCK);
	/* Nobody can connect before it listens. */
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		chmod(path, mode) == 0 && (type != SOCK_STREAM || listen(fd, SOMAXCONN) == 0))
		return fd;
	text_add(wrong, "%s: %s", path, strerror(errno));
	fd_close_if_open(fd);
	return -1;
}

static int biff_make(const struct relay_port *port, struct text *wrong)
{
	struct sockaddr_storage address;
	socklen_t size = source_to_sockaddr(&port->address, port->port, &address);
	int fd = fd_socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK);
	char bytes[SOURCE_TEXT_MAX];

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, size) == 0)
		return fd;
	text_add(wrong, "biff %s:%u: %s", source_text(&port->address, bytes), port->port,
		strerror(errno));
	fd_close_if_open(fd);
	return -1;
}

static bool add(struct sockets *sockets, int fd, enum inbox_kind kind)
{
	if (fd < 0)
		return false;
	sockets->socket[sockets->count++] = (struct socket){ .fd = fd, .kind = kind };
	return true;
}

bool sockets_make(const struct relay_conf *conf, struct sockets *sockets, struct text *wrong)
{
	const char *path = conf->socket.text != NULL ? conf->socket.text : NOTICE_SOCKET;

	*sockets = (struct sockets){ .status = -1 };
	/* Any local user may announce his own mail. */
	if (!add(sockets, local_make(path, SOCK_DGRAM, 0666, wrong), INBOX_NOTICE) ||
		(conf->biff.port != 0 &&
			!add(sockets, biff_make(&conf->biff, wrong), INBOX_BIFF)) ||
		(conf->cyrus.text != NULL &&
			!add(sockets, local_make(conf->cyrus.text, SOCK_DGRAM, 0666, wrong),
				INBOX_CYRUS)))
		return false;
	if (conf->status.text != NULL)
		sockets->status = local_make(conf->status.text, SOCK_STREAM, 0600, wrong);
	return conf->status.text == NULL || sockets->status >= 0;
}
