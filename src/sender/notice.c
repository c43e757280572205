/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-send or nmnotify-login: as who started it; under no filter. */
#include "sender/notice.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/source.h"

/* A name in any encoding; but what could end it, or move a terminal's cursor, is in none. */
static bool is_user(const char *user)
{
	const char *c = user;

	while ((unsigned char)*c >= ' ' && *c != '\x7f')
		c++;
	return *c == '\0' && c > user;
}

static const char *notice_make(
	struct notice *notice, const char *word, const char *user, const char *rest)
{
	struct text text = TEXT_IN(notice->bytes);

	if (!is_user(user))
		return *user == '\0' ? "the user has no name"
				     : "the user's name has control characters";
	text_add(&text, "%s %s%s", word, user, rest);
	notice->length = text.length;
	return text.cut ? "the user's name is too long" : NULL;
}

const char *notice_of_mail(struct notice *notice, const char *user, bool is_early)
{
	return notice_make(notice, is_early ? "early" : "mail", user, "");
}

const char *notice_of_login(struct notice *notice, const char *user, const char *address)
{
	char rest[1 + SOURCE_TEXT_MAX] = " ";
	struct source source;

	if (!source_parse(address, &source))
		return "the address is none";
	(void)source_text(&source, rest + 1);
	return notice_make(notice, "login", user, rest);
}

bool notice_send(const struct notice *notice, const char *path, struct text *why)
{
	int fd = fd_socket(AF_UNIX, SOCK_DGRAM);
	bool is_sent = fd >= 0 && fd_send_to(fd, path, notice->bytes, notice->length);

	if (!is_sent)
		text_add(why, "%s: %s", path,
			fd_would_wait(errno) ? "its queue is full" : strerror(errno));
	fd_close_if_open(fd);
	return is_sent;
}
