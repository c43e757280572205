/* SPDX-License-Identifier: ISC */
/*
 * What local programs tell the relay. A notice is taken just if nmnotify-send would have made it, or
 * its address has another form; a datagram for comsat just if it can be taken apart by the words of
 * sender's and receiver's manuals; of Cyrus's, what is news is whole. Of what the proxy hands on, the
 * notice is all that stands behind its four numbers. And what it is asked, at a socket of its own: just
 * the two forms, wherever the line is cut into pieces; a name comes back in JSON.
 *
 * Input: a byte that says which, and the datagram.
 */
#include "relay/event.h"

#include <jansson.h>

#include "fuzz.h"
#include "relay/status_json.h"
#include "relay/status_request.h"
#include "sender/notice.h"
#include "sender/proxied.h"

static bool is_user(const char *user, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)user[i] < ' ' || user[i] == '\x7f')
			return false;
	return length >= 1 && length <= USER_NAME_MAX;
}

static void check_event(const struct event *event)
{
	must(event->kind <= EVENT_LOGIN);
	must(memchr(event->user, '\0', sizeof(event->user)) != NULL);
	must(is_user(event->user, strlen(event->user)));
	if (event->kind == EVENT_LOGIN)
		must(event->address.kind == SOURCE_IPV4 || event->address.kind == SOURCE_IPV6);
	else
		must(event->address.kind == SOURCE_UNKNOWN);
}

/* ---- Notices ---- */

static bool is_notice(const struct notice *notice, const char *bytes, size_t length)
{
	return notice->length == length && memcmp(notice->bytes, bytes, length) == 0;
}

/* What nmnotify-send would say of the same is understood to be the same. */
static void check_again(const struct event *event, const char *bytes, size_t length)
{
	char address[SOURCE_TEXT_MAX];
	struct notice notice;
	struct event again;

	if (event->kind == EVENT_LOGIN)
		must(notice_of_login(&notice, event->user,
			     source_text(&event->address, address)) == NULL);
	else
		must(notice_of_mail(&notice, event->user, event->kind == EVENT_EARLY) == NULL);
	must(event->kind == EVENT_LOGIN || is_notice(&notice, bytes, length));
	must(event_of_notice(&again, notice.bytes, notice.length) == NULL);
	must(again.kind == event->kind && strcmp(again.user, event->user) == 0);
	must(memcmp(&again.address, &event->address, sizeof(again.address)) == 0);
	if (event->kind == EVENT_LOGIN)
		must(strncmp(bytes, "login ", 6) == 0 &&
			memcmp(bytes + 6, event->user, strlen(event->user)) == 0 &&
			bytes[6 + strlen(event->user)] == ' ');
}

/* What is refused is not what nmnotify-send makes of the words in it. */
static void check_refused(const char *bytes, size_t length)
{
	char text[NOTICE_MAX + 1];
	struct notice notice;
	char *space;

	if (length > NOTICE_MAX || memchr(bytes, '\0', length) != NULL)
		return;
	memcpy(text, bytes, length);
	text[length] = '\0';
	space = strchr(text, ' ');
	if (space == NULL || strlen(space + 1) > USER_NAME_MAX)
		return;
	if (notice_of_mail(&notice, space + 1, false) == NULL)
		must(!is_notice(&notice, bytes, length));
	if (notice_of_mail(&notice, space + 1, true) == NULL)
		must(!is_notice(&notice, bytes, length));
	space = strrchr(text, ' ');
	*space = '\0';
	if (space > text + 6 && notice_of_login(&notice, text + 6, space + 1) == NULL)
		must(!is_notice(&notice, bytes, length));
}

static void check_notice(const char *bytes, size_t length)
{
	struct event event;
	const char *wrong = event_of_notice(&event, bytes, length);

	if (wrong != NULL) {
		check_refused(bytes, length);
		return;
	}
	check_event(&event);
	check_again(&event, bytes, length);
}

/* Numbers may have zeros before them; else it is just what the proxy writes. */
static void check_proxied(const char *bytes, size_t length)
{
	struct proxied proxied, again;
	const char *notice = bytes, *copied;
	size_t rest = length, copied_rest, head;
	char written[PROXIED_MAX + NOTICE_MAX];

	if (!proxied_take(&proxied, &notice, &rest)) {
		must(notice == bytes && rest == length);
		return;
	}
	must(notice > bytes && notice + rest == bytes + length);
	head = proxied_write(&proxied, written);
	must(head < PROXIED_MAX && head <= (size_t)(notice - bytes));
	must(head < (size_t)(notice - bytes) || memcmp(written, bytes, head) == 0);
	if (rest > NOTICE_MAX)
		return;
	memcpy(written + head, notice, rest);
	copied = written;
	copied_rest = head + rest;
	must(proxied_take(&again, &copied, &copied_rest));
	must(memcmp(&again, &proxied, sizeof(again)) == 0);
	must(copied_rest == rest && memcmp(copied, notice, rest) == 0);
	check_notice(notice, rest);
}

/* ---- comsat ---- */

/* USER@, digits that a '-' may come before, and the end or what ends it. */
static bool is_biff_at(const char *bytes, size_t length, size_t at)
{
	size_t next = at + 1, first;

	if (!is_user(bytes, at) || memchr(bytes, ':', at) != NULL)
		return false;
	if (next < length && bytes[next] == '-')
		next++;
	first = next;
	while (next < length && bytes[next] >= '0' && bytes[next] <= '9')
		next++;
	return next > first && (next == length || memchr(":\n\0", bytes[next], 3) != NULL);
}

static void check_biff(const char *bytes, size_t length)
{
	struct event event;
	const char *wrong = event_of_biff(&event, bytes, length);
	size_t found = length;

	for (size_t at = 0; at < length; at++)
		if (bytes[at] == '@' && is_biff_at(bytes, length, at))
			found = at; /* one at most: behind it are no more '@' before the end */
	must((wrong == NULL) == (found < length));
	if (wrong != NULL)
		return;
	check_event(&event);
	must(event.kind == EVENT_MAIL);
	must(strlen(event.user) == found && memcmp(event.user, bytes, found) == 0);
}

/* ---- Cyrus ---- */

static void check_cyrus(const char *bytes, size_t length)
{
	struct event event;
	bool is_news;
	const char *wrong = event_of_cyrus(&event, &is_news, bytes, length);
	unsigned nuls = 0;

	must(wrong == NULL || !is_news);
	if (!is_news)
		return;
	check_event(&event);
	must(event.kind != EVENT_EARLY);
	for (size_t i = 0; i < length; i++)
		nuls += bytes[i] == '\0';
	must(nuls >= 7);
	must(event.kind == EVENT_MAIL || memmem(bytes, length, "Login", 5) != NULL ||
		memchr(bytes, '\\', length) != NULL);
}

/* ---- What is asked ---- */

/* A text of any bytes is a value, and one that JSON can have. */
static void check_text(const char *user)
{
	json_t *value = status_text(user), *list = json_array(), *again;
	char escaped[4 * USER_NAME_MAX + 1];
	struct text text = TEXT_IN(escaped);
	size_t length;
	char *bytes;

	must(json_array_append_new(list, value) == 0);
	bytes = status_write(list, &length);
	must(bytes != NULL && bytes[length - 1] == '\n');
	for (size_t i = 0; i < length - 1; i++)
		must(bytes[i] >= ' ' && bytes[i] < '\x7f');
	again = json_loadb(bytes, length, 0, NULL);
	must(again != NULL);
	text_add_escaped(&text, user);
	must(strcmp(json_string_value(json_array_get(again, 0)), user) == 0 ||
		strcmp(json_string_value(json_array_get(again, 0)), escaped) == 0);
	free(bytes);
	json_decref(again);
	json_decref(list);
}

static void check_request(const char *bytes, size_t length)
{
	const char *end = memchr(bytes, '\n', length);
	size_t line = end == NULL ? 0 : (size_t)(end - bytes);
	bool is_whole, is_status = end != NULL && line == 6 && memcmp(bytes, "status", 6) == 0;
	bool is_of_user = end != NULL && line > 5 && memcmp(bytes, "user ", 5) == 0 &&
			  is_user(bytes + 5, line - 5);
	struct status_request request;
	const char *wrong;

	/* In pieces: nothing is known before the line has ended. */
	for (size_t i = 0; i < STATUS_REQUEST_MAX && (end == NULL ? i < length : i <= line); i++) {
		wrong = status_request_take(&request, bytes, i, false, &is_whole);
		must(wrong == NULL && !is_whole);
	}
	wrong = status_request_take(&request, bytes, length, true, &is_whole);
	must(is_whole);
	must((wrong == NULL) == (is_status || is_of_user));
	if (wrong != NULL)
		return;
	must(request.kind == (is_status ? STATUS_ALL : STATUS_USER));
	if (is_status)
		return;
	must(strlen(request.user) == line - 5 && memcmp(request.user, bytes + 5, line - 5) == 0);
	check_text(request.user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t which = take_byte(&input) % 5;
	/* Of its own size, so that the sanitizer sees a byte that is read behind it. */
	char *bytes = malloc(input.length + (input.length == 0));

	must(bytes != NULL);
	memcpy(bytes, input.bytes, input.length);
	if (which == 0)
		check_notice(bytes, input.length);
	else if (which == 1)
		check_biff(bytes, input.length);
	else if (which == 2)
		check_cyrus(bytes, input.length);
	else if (which == 4)
		check_proxied(bytes, input.length);
	else
		check_request(bytes, input.length);
	free(bytes);
	return 0;
}
