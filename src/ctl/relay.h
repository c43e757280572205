/* SPDX-License-Identifier: ISC */
/* What nmnotify-relay says of itself, at its status socket: nmnotify-relay(8) has the questions and
 * what is in the answers. */
#ifndef NMNOTIFY_CTL_RELAY_H
#define NMNOTIFY_CTL_RELAY_H

#include <jansson.h>
#include <stdbool.h>

#define RELAY_STATUS_PATH "/run/nmnotify-relay/status"

enum relay_said {
	RELAY_ANSWERED,
	RELAY_ABSENT, /* there is no socket: no relay is installed, or it is not enabled */
	RELAY_DENIED, /* this user may not ask */
	RELAY_FAILED,
};

struct relay_answer {
	enum relay_said said;
	json_t *document; /* the caller's; NULL: there is no answer */
	char wrong[512];  /* then why */
};

/* What to do if it has not answered: constant. */
const char *relay_remedy(enum relay_said said);

/* Has it ended, since there was nothing to do, or was it stopped? Then to ask it would start it.
 * False where systemd does not say, or of another socket than systemd's. */
bool relay_is_at_rest(const char *path);

/* Asks, in a line without its end. Takes seconds at most: systemd may have to start the relay. */
struct relay_answer relay_ask(const char *path, const char *question);

#endif
