/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-relay: notices, and datagrams for comsat(8). */
#include "relay/event.h"

#include <string.h>

#include "lib/text.h"

/* ---- Users ---- */

const char *event_set_user(struct event *event, const char *bytes, size_t length)
{
	const char *wrong = user_name_wrong(bytes, length);

	if (wrong != NULL)
		return wrong;
	memcpy(event->user, bytes, length);
	event->user[length] = '\0';
	return NULL;
}

/* ---- Notices (PROTOCOL.md) ---- */

/* Takes a word and the space behind it. */
static bool word_is(const char *word, const char **bytes, size_t *length)
{
	size_t size = strlen(word);

	if (*length <= size || memcmp(*bytes, word, size) != 0 || (*bytes)[size] != ' ')
		return false;
	*bytes += size + 1;
	*length -= size + 1;
	return true;
}

/* USER ADDRESS; the user may have spaces. */
static const char *login_take(struct event *event, const char *bytes, size_t length)
{
	const char *space = memrchr(bytes, ' ', length);
	char address[SOURCE_TEXT_MAX];
	size_t before, behind;

	if (space == NULL)
		return "the login has no address";
	before = (size_t)(space - bytes);
	behind = length - before - 1;
	/* A NUL would hide what is behind it. */
	if (behind >= sizeof(address) || memchr(space, '\0', behind + 1) != NULL)
		return "the address is none";
	memcpy(address, space + 1, behind);
	address[behind] = '\0';
	if (!source_parse(address, &event->address))
		return "the address is none";
	return event_set_user(event, bytes, before);
}

const char *event_of_notice(struct event *event, const char *bytes, size_t length)
{
	*event = (struct event){ .kind = EVENT_MAIL };
	if (word_is("mail", &bytes, &length))
		return event_set_user(event, bytes, length);
	if (word_is("early", &bytes, &length)) {
		event->kind = EVENT_EARLY;
		return event_set_user(event, bytes, length);
	}
	if (word_is("login", &bytes, &length)) {
		event->kind = EVENT_LOGIN;
		return login_take(event, bytes, length);
	}
	return "it is no notice";
}

/* ---- comsat ---- */

/* Up to the first NUL, newline or colon. A mailbox comes behind the colon, and has any name; a
 * user's has no colon (passwd(5)). */
static size_t head_length(const char *bytes, size_t length)
{
	size_t head = 0;

	while (head < length && bytes[head] != '\0' && bytes[head] != '\n' && bytes[head] != ':')
		head++;
	return head;
}

/* Where the mailbox grew; Exim says -1 for a Maildir. */
static bool is_offset(const char *bytes, size_t length)
{
	if (length > 0 && *bytes == '-') {
		bytes++;
		length--;
	}
	for (size_t i = 0; i < length; i++)
		if (!is_digit(bytes[i]))
			return false;
	return length > 0;
}

const char *event_of_biff(struct event *event, const char *bytes, size_t length)
{
	size_t head = head_length(bytes, length), before;
	const char *at = memrchr(bytes, '@', head);

	*event = (struct event){ .kind = EVENT_MAIL };
	if (at == NULL)
		return "it has no '@'";
	before = (size_t)(at - bytes);
	if (!is_offset(at + 1, head - before - 1))
		return "behind the '@' is no number";
	return event_set_user(event, bytes, before);
}
