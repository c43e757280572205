/* SPDX-License-Identifier: ISC */
/*
 * In the process of nmnotify-relay: what Cyrus IMAP says to its notify socket. Fields end with a
 * NUL: method, class, priority, user, mailbox, how many options, the options, a message. Of class
 * MAIL is a delivery (mailnotifier), of class EVENT a JSON object (event_notifier, RFC 5423).
 */
#include "relay/event.h"

#include <jansson.h>
#include <string.h>

#include "lib/text.h"

enum field {
	FIELD_METHOD,
	FIELD_CLASS,
	FIELD_PRIORITY,
	FIELD_USER,
	FIELD_MAILBOX,
	FIELD_OPTIONS,
	FIELDS
};

/* More than Cyrus ever sends. */
#define OPTIONS_MAX 64

/* Takes what is before the next NUL; NULL if there is none. */
static const char *field_take(const char **bytes, size_t *length)
{
	const char *field = *bytes, *end = memchr(*bytes, '\0', *length);

	if (end == NULL)
		return NULL;
	*length -= (size_t)(end - field) + 1;
	*bytes = end + 1;
	return field;
}

/* ---- Class EVENT ---- */

static const char *text_member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)); /* NULL: not there, or no text */
}

static const char *user_member(struct event *event, const json_t *object)
{
	const char *user = text_member(object, "user");

	return user == NULL ? "the event has no user" : event_set_user(event, user, strlen(user));
}

static const char *login_member(struct event *event, const json_t *object)
{
	const char *address = text_member(object, "clientIP");

	event->kind = EVENT_LOGIN;
	if (address == NULL)
		return "the login has no clientIP: event_extra_params lacks clientAddress";
	if (!source_parse(address, &event->address))
		return "the address is none";
	return user_member(event, object);
}

/* Programs of mail users: those that check mail. Sieve's, DAV's and the administrator's logins say
 * nothing of where somebody reads. */
static bool is_mail_service(const json_t *object)
{
	const char *service = text_member(object, "service");

	return service == NULL || strncmp(service, "imap", 4) == 0 ||
	       strncmp(service, "pop3", 4) == 0;
}

/* MessageAppend, MessageCopy and the like are what a user's own program does. */
static const char *object_take(struct event *event, bool *is_news, const json_t *object)
{
	const char *name = text_member(object, "event");

	if (name == NULL)
		return "the event has no name";
	if (strcmp(name, "MessageNew") == 0) {
		*is_news = true;
		return user_member(event, object);
	}
	if (strcmp(name, "Login") == 0 && is_mail_service(object)) {
		*is_news = true;
		return login_member(event, object);
	}
	return NULL;
}

static const char *event_take(struct event *event, bool *is_news, const char *text)
{
	json_error_t error;
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	const char *wrong;

	if (object == NULL)
		return json_error_code(&error) == json_error_out_of_memory
			       ? "there is no memory for the event"
			       : "the event is not JSON";
	wrong = object_take(event, is_news, object);
	json_decref(object);
	return wrong;
}

/* ---- A datagram ---- */

static const char *class_take(
	struct event *event, bool *is_news, const char *const field[FIELDS], const char *message)
{
	if (strcmp(field[FIELD_CLASS], "MAIL") == 0) {
		*is_news = true;
		return event_set_user(event, field[FIELD_USER], strlen(field[FIELD_USER]));
	}
	if (strcmp(field[FIELD_CLASS], "EVENT") == 0)
		return event_take(event, is_news, message);
	return NULL;
}

const char *event_of_cyrus(struct event *event, bool *is_news, const char *bytes, size_t length)
{
	const char *field[FIELDS], *message, *wrong;
	uint64_t options;

	*event = (struct event){ .kind = EVENT_MAIL };
	*is_news = false;
	for (unsigned i = 0; i < FIELDS; i++)
		if ((field[i] = field_take(&bytes, &length)) == NULL)
			return "it has too few fields";
	if (!number_parse(field[FIELD_OPTIONS], OPTIONS_MAX, &options))
		return "the number of options is none";
	for (; options > 0; options--)
		if (field_take(&bytes, &length) == NULL)
			return "it has too few fields";
	message = field_take(&bytes, &length);
	if (message == NULL)
		return "it has too few fields";
	wrong = class_take(event, is_news, field, message);
	*is_news = *is_news && wrong == NULL;
	return wrong;
}
