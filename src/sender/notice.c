/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-send or nmnotify-login: as who started it; under no filter. */
#include "sender/notice.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/source.h"
#include "lib/user_name.h"

_Static_assert(
	sizeof("login  ") + USER_NAME_MAX + SOURCE_TEXT_MAX <= NOTICE_MAX, "every user fits");

static const char *notice_make(
	struct notice *notice, const char *word, const char *user, const char *rest)
{
	struct text text = TEXT_IN(notice->bytes);
	const char *wrong = user_name_wrong(user, strlen(user));

	if (wrong != NULL)
		return wrong;
	text_add(&text, "%s %s%s", word, user, rest);
	notice->length = text.length;
	return NULL;
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
