/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-send: as who started it; from direct_confine() on under send.policy.
 */
#include "sender/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "policy/confine.h"

/* If the other host ends the connection before it acknowledges the line, poll(2) returns at once
 * each time. Then this is waited between two looks. */
#define PAUSE_MS 10

bool direct_guard(void)
{
	process_guard();
	/* If it were ignored, a child could not be waited for. Fails for no valid signal. */
	(void)signal(SIGCHLD, SIG_DFL);
	if (!fd_void(STDIN_FILENO) || !fd_void(STDOUT_FILENO) ||
		(fcntl(STDERR_FILENO, F_GETFD) < 0 && !fd_void(STDERR_FILENO)))
		return false;
	fd_close_from(STDERR_FILENO + 1);
	return true;
}

bool direct_confine(struct failures *failures)
{
	failure_confine(failures);
	return confine(policy_find("send"));
}

/* Until it is done, or has failed: 0, or errno. */
static int send_to(
	const struct destination *destination, const struct source *from, struct deadline deadline)
{
	struct sending sending;
	struct pollfd pollfd;

	sending_begin(&sending, destination, from, false);
	pollfd.fd = sending.fd;
	while (sending_goes_on(&sending)) {
		enum sending_state before = sending.state;
		int ready;

		pollfd.events = sending_events(&sending);
		ready = poll(&pollfd, 1, (int)deadline_rest(deadline).ms); /* at most a -w */
		if (ready == 0 || (ready < 0 && errno != EINTR))
			break;
		if (ready > 0)
			sending_go_on(&sending);
		if (sending.state == before)
			(void)poll(NULL, 0, PAUSE_MS);
	}
	sending_end(&sending, ETIMEDOUT);
	return sending.error;
}

bool direct_send(const struct host *host, const struct direct_how *how, struct deadline deadline,
	struct text *why)
{
	struct destination destination = { .port = host->port, .is_udp = how->is_udp };

	for (unsigned i = 0; i < host->count; i++) {
		char bytes[SOURCE_TEXT_MAX];
		struct span share = { .ms = deadline_rest(deadline).ms / (host->count - i) };
		int error;

		destination.address = host->address[i];
		error = send_to(&destination, how->from, deadline_in(share));
		if (error == 0)
			return true;
		if (host->is_name)
			text_add(why, "%s%s: ", i == 0 ? "" : ", ",
				source_text(&destination.address, bytes));
		text_add(why, "%s", strerror(error));
	}
	return false;
}
