/* SPDX-License-Identifier: ISC */
/*
 * nmnotify-relay-proxy: hands notices on to the relay, each with who has sent it and when it came,
 * as the kernel says. The relay's user namespace has no other users (PrivateUsers=), so it could
 * not learn that from the kernel. nmnotify-relay(8).
 *
 * As the relay's user, in the user namespace of those who send; from confine() on under
 * proxy.policy. systemd starts it, with the socket as descriptor 0.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "policy/confine.h"
#include "sender/failure.h"
#include "sender/proxied.h"

/* What the relay reads of a datagram at most: of a longer one it says so. */
#define NOTICE_BYTES 8192

/* The first one that is opened: proxy.policy has its number. */
#define RELAY_FD (STDERR_FILENO + 1)

static const char usage[] = "usage: nmnotify-relay-proxy [-V | -h] socket\n"
			    "Reads notices from descriptor 0, and hands them on to the relay's "
			    "socket, with who has sent\n"
			    "them. It is started by systemd.\n"
			    "  -V  print the version, and exit\n"
			    "  -h  print this, and exit\n";

static volatile sig_atomic_t has_to_end;

static void on_end(int number)
{
	(void)number;
	has_to_end = 1;
}

_Noreturn static void fail(int status, const char *what, const char *why)
{
	char bytes[256];
	struct text line = TEXT_IN(bytes);

	text_add(&line, "%s: %s\n", what, why);
	(void)text_write(&line, STDERR_FILENO); /* nowhere is left to say that it failed */
	_exit(status);
}

static const char *read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, ":hV")) != -1) {
		switch (option) {
		case 'h': answer(usage);
		case 'V': answer("nmnotify-relay-proxy " VERSION "\n");
		default: fail(EX_USAGE, "nmnotify-relay-proxy", option_wrong(option));
		}
	}
	if (argc - optind != 1)
		fail(EX_USAGE, "nmnotify-relay-proxy", "there must be one socket");
	return argv[optind];
}

/* ---- Beginning ---- */

static void open_both(const char *path)
{
	const int yes = 1;

	if (setsockopt(STDIN_FILENO, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) != 0 ||
		setsockopt(STDIN_FILENO, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes)) != 0)
		fail(EX_CONFIG, "descriptor 0 is no socket", strerror(errno));
	fd_close_from(RELAY_FD);
	if (fd_socket(AF_UNIX, SOCK_DGRAM) != RELAY_FD || !fd_connect_to(RELAY_FD, path))
		fail(EX_TEMPFAIL, path, strerror(errno));
}

/* It ends when nothing waits, and not between two steps. `while_waiting` gets the signals of
 * then. */
static void hold_signals(sigset_t *while_waiting)
{
	const struct sigaction action = { .sa_handler = on_end };
	sigset_t held;

	/* None of these fails for what is valid. */
	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &held, while_waiting);
	(void)sigdelset(while_waiting, SIGTERM);
	(void)sigaction(SIGTERM, &action, NULL);
}

/* ---- A notice ---- */

/* musl's CMSG_NXTHDR() makes unsigned of a negative mask. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

/* What the kernel says beside the bytes. */
static void note_sender(struct proxied *proxied, struct msghdr *message)
{
	struct ucred sender;
	struct timespec came;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
		part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_type == SCM_CREDENTIALS &&
			part->cmsg_len == CMSG_LEN(sizeof(sender))) {
			memcpy(&sender, CMSG_DATA(part), sizeof(sender));
			proxied->uid = sender.uid;
			proxied->gid = sender.gid;
		}
		if (part->cmsg_type == SCM_TIMESTAMPNS &&
			part->cmsg_len == CMSG_LEN(sizeof(came))) {
			memcpy(&came, CMSG_DATA(part), sizeof(came));
			proxied->seconds = (uint32_t)came.tv_sec;
			proxied->nanoseconds = (uint32_t)came.tv_nsec;
		}
	}
}

#pragma GCC diagnostic pop

/* The first that waits, which stays where it is. Its length; -1 with errno set. */
static ssize_t look(char bytes[static NOTICE_BYTES], struct proxied *proxied)
{
	/* Exactly these two: without room the kernel opens no descriptor that somebody sends. */
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec part = { .iov_base = bytes, .iov_len = NOTICE_BYTES };
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(STDIN_FILENO, &message, MSG_PEEK | MSG_DONTWAIT);

	/* Nobody's numbers (chown(2)). */
	*proxied = (struct proxied){ .uid = UINT32_MAX, .gid = UINT32_MAX };
	if (length >= 0)
		note_sender(proxied, &message);
	return length;
}

/*
 * The relay has it before it is taken away here, so a death in between loses nothing, and hands it
 * on twice at worst. The relay's queue may be full: then this waits, and not the mail system, for
 * which there is the queue of descriptor 0. False: nothing waits.
 */
static bool hand_on(void)
{
	char bytes[PROXIED_MAX + NOTICE_BYTES];
	struct proxied proxied;
	char *notice = bytes + PROXIED_MAX, head[PROXIED_MAX];
	ssize_t length = look(notice, &proxied);
	size_t before;

	if (length < 0 && fd_would_wait(errno))
		return false;
	if (length < 0)
		fail(EX_OSERR, "descriptor 0", strerror(errno));
	before = proxied_write(&proxied, head);
	memcpy(notice - before, head, before);
	if (send(RELAY_FD, notice - before, before + (size_t)length, MSG_NOSIGNAL) < 0)
		fail(EX_TEMPFAIL, "the relay's socket", strerror(errno));
	(void)recv(STDIN_FILENO, NULL, 0, MSG_DONTWAIT); /* the same one: nobody else reads here */
	return true;
}

/* Until then the relay does not look at what mail systems say elsewhere: of two that wait, a login
 * here was before a mail there. Without the word it waits for a second. */
static void say_caught_up(void)
{
	static const char word[] = PROXIED_CAUGHT_UP;

	(void)send(RELAY_FD, word, sizeof(word) - 1, MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
	struct pollfd pollfd = { .fd = STDIN_FILENO, .events = POLLIN };
	sigset_t while_waiting;
	bool is_new = true;

	process_guard();
	open_both(read_options(argc, argv));
	hold_signals(&while_waiting);
	if (!confine(policy_find("proxy")))
		fail(EX_OSERR, "this process cannot be confined", strerror(errno));
	for (;;) {
		while (hand_on())
			;
		if (is_new)
			say_caught_up();
		is_new = false;
		if (has_to_end)
			return EX_OK;
		(void)ppoll(&pollfd, 1, NULL, &while_waiting); /* a signal, or a notice */
	}
}
