/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>

#include "lib/line.h"

#define LINE     "nm_notifyuser\r\n"
#define LENGTH   15
#define BARE     "nm_notifyuser\n"
#define LF       '\n'
#define READ_MAX 16

static const struct span patient = { .ms = 10000 };

/* ---- Judging ---- */

static enum line_state judge(const void *bytes, size_t length, bool ended, bool bare_lf)
{
	/* What follows is what would make it valid, to catch a look beyond the length. */
	struct line line = { .bytes = LINE, .length = length };

	memcpy(line.bytes, bytes, length);
	return line_judge(&line, ended, bare_lf);
}

static void line_is_the_15_bytes_and_nothing_more_is_waited_for(void **state)
{
	(void)state;
	for (int flags = 0; flags < 4; flags++)
		assert_int_equal(judge(LINE, LENGTH, flags & 1, flags & 2), LINE_VALID);
}

/* Malformed for good if there is an LF or an end; else more may come. */
static void line_with_any_byte_changed_is_not_valid(void **state)
{
	(void)state;
	for (unsigned at = 0; at < LENGTH; at++) {
		for (unsigned change = 1; change < 256; change++) {
			char bytes[] = LINE;
			enum line_state open;

			bytes[at] = (char)((unsigned char)bytes[at] ^ change);
			open = memchr(bytes, LF, LENGTH) ? LINE_MALFORMED : LINE_INCOMPLETE;
			for (int bare = 0; bare < 2; bare++) {
				assert_int_equal(judge(bytes, LENGTH, false, bare), open);
				assert_int_equal(judge(bytes, LENGTH, true, bare), LINE_MALFORMED);
			}
		}
	}
}

static void line_cut_short_anywhere_is_not_valid(void **state)
{
	(void)state;
	for (unsigned length = 0; length < LENGTH; length++) {
		for (int bare = 0; bare < 2; bare++) {
			assert_int_equal(judge(LINE, length, false, bare), LINE_INCOMPLETE);
			assert_int_equal(judge(LINE, length, true, bare), LINE_MALFORMED);
		}
	}
}

static void line_with_any_byte_behind_it_is_malformed(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		char bytes[READ_MAX + 1] = LINE;

		bytes[LENGTH] = (char)byte;
		for (int flags = 0; flags < 4; flags++)
			assert_int_equal(
				judge(bytes, READ_MAX, flags & 1, flags & 2), LINE_MALFORMED);
	}
}

static void line_with_any_byte_before_it_is_malformed(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		char bytes[READ_MAX + 1] = "?" LINE;

		bytes[0] = (char)byte;
		for (int flags = 0; flags < 4; flags++)
			assert_int_equal(
				judge(bytes, READ_MAX, flags & 1, flags & 2), LINE_MALFORMED);
	}
}

static void line_ended_by_a_bare_lf_is_valid_only_if_allowed(void **state)
{
	(void)state;
	for (int ended = 0; ended < 2; ended++) {
		assert_int_equal(judge(BARE, LENGTH - 1, ended, true), LINE_VALID);
		assert_int_equal(judge(BARE, LENGTH - 1, ended, false), LINE_MALFORMED);
		/* Two line ends in one piece: a byte has arrived with the line. */
		assert_int_equal(judge(BARE "\n", LENGTH, ended, true), LINE_MALFORMED);
		assert_int_equal(judge(BARE "\n", LENGTH, ended, false), LINE_MALFORMED);
	}
	for (unsigned at = 0; at < LENGTH - 1; at++) {
		for (unsigned change = 1; change < 256; change++) {
			char bytes[] = BARE;

			bytes[at] = (char)((unsigned char)bytes[at] ^ change);
			assert_int_not_equal(judge(bytes, LENGTH - 1, false, true), LINE_VALID);
			assert_int_equal(judge(bytes, LENGTH - 1, true, true), LINE_MALFORMED);
		}
	}
}

static void line_of_16_bytes_without_lf_is_malformed_at_once(void **state)
{
	(void)state;
	for (int flags = 0; flags < 4; flags++) {
		assert_int_equal(judge("nm_notifyuser\r\r\r", READ_MAX, flags & 1, flags & 2),
			LINE_MALFORMED);
		assert_int_equal(
			judge("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", READ_MAX, flags & 1, flags & 2),
			LINE_MALFORMED);
	}
	assert_int_equal(judge("nm_notifyuser\r\r", LENGTH, false, true), LINE_INCOMPLETE);
}

/* Bit i of a mask cuts behind byte i. */
static void line_may_come_in_any_pieces(void **state)
{
	(void)state;
	for (unsigned mask = 0; mask < 1u << (LENGTH - 1); mask++) {
		for (unsigned at = 0; at < LENGTH - 1; at++)
			if (mask & 1u << at)
				assert_int_equal(
					judge(LINE, at + 1, false, mask & 1), LINE_INCOMPLETE);
		assert_int_equal(judge(LINE, LENGTH, false, mask & 1), LINE_VALID);
	}
}

/* ---- Why it is none ---- */

static const char *reason_of(const char *text)
{
	struct line line = { .length = strlen(text) };

	if (line.length > READ_MAX)
		line.length = READ_MAX; /* what is read of it */
	memcpy(line.bytes, text, line.length);
	return line_reason_name(line_malformed_reason(&line));
}

static void line_malformed_is_for_one_of_a_few_fixed_reasons(void **state)
{
	static const struct {
		const char *text, *reason;
	} table[] = {
		{ LINE, NULL },
		{ "", "empty" },
		{ "n", "cut" },
		{ "nm_notify", "cut" },
		{ "nm_notifyuser", "cut" },
		{ "nm_notifyuser\r", "cut" },
		{ BARE, "bare-lf" },
		{ BARE "\n", "text-after" },
		{ BARE LINE, "text-after" },
		{ LINE "\n", "text-after" },
		{ LINE LINE, "text-after" },
		{ "nm_notifyuser \r\n", "text-after" },
		{ "nm_notifyuser\r\r\n", "text-after" },
		{ "nm_notifyusers\r\n", "text-after" },
		{ "nm_notifyuser alice\r\n", "text-after" },
		{ " " LINE, "text-before" },
		{ " " BARE, "text-before" },
		{ "\r\n" LINE, "text-before" },
		{ "\xef\xbb\xbf" LINE, "text-before" },
		{ "user alice\r\n" LINE, "text-before" },
		{ "it is some nm_", "text-before" },
		{ "it is some nm", "other-text" },
		{ "\r\n", "other-text" },
		{ "\n", "other-text" },
		{ "nm_notify\r\n", "other-text" },
		{ "NM_NOTIFYUSER\r\n", "other-text" },
		{ "GET / HTTP/1.0\r\n\r\n", "other-text" },
		{ "\x16\x03\x01", "other-text" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		const char *reason = reason_of(table[i].text);

		if ((reason == NULL) != (table[i].reason == NULL) ||
			(reason != NULL && strcmp(reason, table[i].reason) != 0))
			fail_msg("%u: %s, not %s", i, reason, table[i].reason);
	}
}

/* The administrator is told of it only if it would help. */
static void line_malformed_for_bare_lf_is_what_bare_lf_takes(void **state)
{
	(void)state;
	for (unsigned at = 0; at < LENGTH - 1; at++) {
		for (unsigned change = 0; change < 256; change++) {
			struct line line = { .bytes = BARE, .length = LENGTH - 1 };
			bool is_bare = change == 0;

			line.bytes[at] = (char)((unsigned char)line.bytes[at] ^ change);
			assert_int_equal(line_judge(&line, true, true) == LINE_VALID, is_bare);
			assert_int_equal(
				line_malformed_reason(&line) == LINE_REASON_BARE_LF, is_bare);
		}
	}
}

/* ---- Reading ---- */

/* Two ends: [0] is read from. */
struct ends {
	int fd[2];
	bool is_socket;
};

static struct ends ends_unix(void)
{
	struct ends ends = { .is_socket = true };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.fd), 0);
	return ends;
}

static struct ends ends_pipe(void)
{
	struct ends ends = { .is_socket = false };

	assert_int_equal(pipe2(ends.fd, O_CLOEXEC), 0);
	return ends;
}

static struct ends ends_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *generic = (struct sockaddr *)&address;
	socklen_t length = sizeof(address);
	struct ends ends = { .is_socket = true };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, generic, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, generic, &length), 0);
	ends.fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends.fd[1], generic, sizeof(address)), 0);
	ends.fd[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ends.fd[0] >= 0);
	(void)close(listener);
	return ends;
}

static void ends_close(struct ends *ends)
{
	(void)close(ends->fd[0]);
	if (ends->fd[1] >= 0)
		(void)close(ends->fd[1]);
}

static void ends_finish(struct ends *ends)
{
	(void)close(ends->fd[1]);
	ends->fd[1] = -1;
}

/* Closes with a reset (socket(7), SO_LINGER), and waits until it has arrived. */
static void ends_reset(struct ends *ends)
{
	struct linger linger = { .l_onoff = 1 };
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	assert_int_equal(
		setsockopt(ends->fd[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	ends_finish(ends);
	while (getpeername(ends->fd[0], (struct sockaddr *)&address, &length) == 0)
		unit_sleep_us(100);
}

static void put(const struct ends *ends, const void *bytes, size_t length)
{
	assert_int_equal(write(ends->fd[1], bytes, length), length);
}

static int unread(const struct ends *ends)
{
	int bytes = -1;

	assert_int_equal(ioctl(ends->fd[0], FIONREAD, &bytes), 0);
	return bytes;
}

/* Waits until TCP has brought it over. */
static void arrived(const struct ends *ends, int bytes)
{
	while (unread(ends) < bytes)
		unit_sleep_us(100);
}

static enum line_state take(const struct ends *ends, struct span timeout, bool bare_lf)
{
	struct line line = { .length = 0 };

	return line_read(&line, ends->fd[0], ends->is_socket, timeout, bare_lf);
}

static struct ends (*const kinds[])(void) = { ends_unix, ends_pipe, ends_tcp };

static void line_is_read_from_every_kind_of_descriptor(void **state)
{
	static const struct {
		const char *bytes;
		bool bare_lf;
		enum line_state expected;
	} table[] = {
		{ LINE, false, LINE_VALID },
		{ LINE, true, LINE_VALID },
		{ BARE, true, LINE_VALID },
		{ BARE, false, LINE_MALFORMED },
		{ LINE "x", false, LINE_MALFORMED },
		{ BARE "\n", true, LINE_MALFORMED },
		{ "nm_notifyuser \r\n", false, LINE_MALFORMED },
		{ "\n", false, LINE_MALFORMED },
		{ "GET / HTTP/1.0\r\n\r\n", false, LINE_MALFORMED },
		{ "NM_NOTIFYUSER\r\n", false, LINE_MALFORMED },
	};

	(void)state;
	for (unsigned kind = 0; kind < COUNT(kinds); kind++) {
		for (unsigned i = 0; i < COUNT(table); i++) {
			struct ends ends = kinds[kind]();
			int length = (int)strlen(table[i].bytes);

			put(&ends, table[i].bytes, (size_t)length);
			arrived(&ends, length);
			assert_int_equal(take(&ends, patient, table[i].bare_lf), table[i].expected);
			assert_int_equal(unread(&ends), length > READ_MAX ? length - READ_MAX : 0);
			ends_close(&ends);
		}
	}
}

struct writer {
	const struct ends *ends;
	const char *bytes;
	size_t length;
	unsigned mask;
	unsigned pause_us; /* before each piece */
};

/* Puts a piece only when the one before it was read. */
static int write_pieces(void *context)
{
	const struct writer *writer = context;
	unsigned long query = writer->ends->is_socket ? SIOCOUTQ : FIONREAD;
	size_t start = 0;

	for (size_t at = 0; at < writer->length; at++) {
		int unread_bytes = 1;

		if (at != writer->length - 1 && (at > 31 || !(writer->mask & 1u << at)))
			continue;
		while (ioctl(writer->ends->fd[1], query, &unread_bytes) == 0 && unread_bytes > 0)
			(void)sched_yield();
		unit_sleep_us(writer->pause_us);
		if (write(writer->ends->fd[1], writer->bytes + start, at + 1 - start) < 0)
			return 1;
		start = at + 1;
	}
	return 0;
}

/* What a reader makes of pieces. The descriptor stays open, so an end is not what decides. */
static enum line_state read_pieces(
	const struct ends *ends, const char *bytes, size_t length, unsigned mask)
{
	struct writer writer = { .ends = ends, .bytes = bytes, .length = length, .mask = mask };
	pid_t child = unit_fork(write_pieces, &writer);
	enum line_state result = take(ends, patient, false);

	assert_int_equal(unit_reap(child), 0);
	return result;
}

static void line_is_read_in_any_pieces(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct ends ends = kinds[i % 2]();
		unsigned mask = i < 2 ? 0x3fff : random_below(&seed, 1u << (LENGTH - 1));

		assert_int_equal(read_pieces(&ends, LINE, LENGTH, mask), LINE_VALID);
		assert_int_equal(unread(&ends), 0);
		ends_close(&ends);
	}
}

/* However it comes, the 17th byte stays in the kernel. */
static void line_reads_never_more_than_16_bytes(void **state)
{
	static const char no_lf[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	static const char late_lf[] = "nm_notifyuser\r\r\r\r\r\r\n";
	static const unsigned masks[] = { 0, 1, 1u << 9, 1u << 14, 0x5555, 0x7fff };

	(void)state;
	for (unsigned i = 0; i < COUNT(masks); i++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			struct ends ends = kinds[kind]();

			assert_int_equal(read_pieces(&ends, no_lf, 36, masks[i]), LINE_MALFORMED);
			assert_int_equal(unread(&ends), 36 - READ_MAX);
			ends_close(&ends);
			ends = kinds[kind]();
			assert_int_equal(read_pieces(&ends, late_lf, 20, masks[i]), LINE_MALFORMED);
			assert_int_equal(unread(&ends), 20 - READ_MAX);
			ends_close(&ends);
		}
	}
}

/* The decision falls at the first LF: what comes later is neither waited for nor read. */
static void line_is_decided_at_its_lf(void **state)
{
	struct ends ends = ends_unix();

	(void)state;
	assert_int_equal(read_pieces(&ends, LINE "more", LENGTH + 4, 1u << 14), LINE_VALID);
	assert_int_equal(unread(&ends), 4);
	ends_close(&ends);
	ends = ends_unix();
	assert_int_equal(read_pieces(&ends, "\nnm_notifyuser", 14, 1), LINE_MALFORMED);
	assert_int_equal(unread(&ends), 13);
	ends_close(&ends);
}

/* ---- Ends ---- */

static void line_cut_short_by_the_end_is_malformed(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < COUNT(kinds); kind++) {
		for (unsigned length = 0; length <= LENGTH; length++) {
			struct ends ends = kinds[kind]();

			put(&ends, LINE, length);
			ends_finish(&ends);
			assert_int_equal(take(&ends, patient, false),
				length == LENGTH ? LINE_VALID : LINE_MALFORMED);
			ends_close(&ends);
		}
	}
}

static void line_before_a_reset_counts(void **state)
{
	(void)state;
	for (unsigned length = 0; length <= LENGTH; length += 5) {
		struct ends ends = ends_tcp();

		put(&ends, LINE, length);
		arrived(&ends, (int)length);
		ends_reset(&ends);
		assert_int_equal(take(&ends, patient, false),
			length == LENGTH ? LINE_VALID : LINE_MALFORMED);
		ends_close(&ends);
	}
}

static int reset_soon(void *context)
{
	struct ends *ends = context;
	struct linger linger = { .l_onoff = 1 };

	(void)close(ends->fd[0]);
	unit_sleep_ms(20);
	(void)setsockopt(ends->fd[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return close(ends->fd[1]);
}

static void line_that_a_reset_cuts_short_is_malformed(void **state)
{
	struct ends ends = ends_tcp();
	pid_t child;

	(void)state;
	put(&ends, LINE, 7);
	child = unit_fork(reset_soon, &ends);
	ends_finish(&ends); /* the child has the other copy */
	assert_int_equal(take(&ends, patient, false), LINE_MALFORMED);
	assert_int_equal(unit_reap(child), 0);
	ends_close(&ends);
}

/* A terminal whose other side hangs up says EIO. */
static void line_from_a_terminal_that_hangs_up_is_malformed(void **state)
{
	struct ends ends = { .is_socket = false };
	struct termios raw;

	(void)state;
	ends.fd[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends.fd[1] < 0 || grantpt(ends.fd[1]) != 0 || unlockpt(ends.fd[1]) != 0)
		skip();
	ends.fd[0] = open(ptsname(ends.fd[1]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(tcgetattr(ends.fd[0], &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(ends.fd[0], TCSANOW, &raw), 0);
	put(&ends, LINE, LENGTH);
	assert_int_equal(take(&ends, patient, false), LINE_VALID);
	put(&ends, LINE, LENGTH - 1);
	ends_finish(&ends);
	assert_int_equal(take(&ends, patient, false), LINE_MALFORMED);
	ends_close(&ends);
}

static void line_from_a_bad_descriptor_fails(void **state)
{
	struct line line = { .length = 0 };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(line_read(&line, -1, true, patient, false), LINE_FAILED);
	assert_int_equal(errno, EBADF);
	assert_int_equal(line_read(&line, 1000, false, patient, false), LINE_FAILED);
	assert_int_equal(errno, EBADF);
	assert_int_equal(line_read(&line, listener, true, patient, false), LINE_FAILED);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(line_read(&line, directory, false, patient, false), LINE_FAILED);
	assert_int_equal(errno, EISDIR);
	(void)close(listener);
	(void)close(directory);
}

/* ---- Time ---- */

static void line_that_does_not_come_times_out(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < COUNT(kinds); kind++) {
		struct ends ends = kinds[kind]();
		uint64_t begun = unit_ms();

		put(&ends, LINE, kind * 7);
		assert_int_equal(take(&ends, (struct span){ .ms = 60 }, false), LINE_TIMEOUT);
		assert_in_range(unit_ms() - begun, 59, 60 + UNIT_SLACK_MS);
		ends_close(&ends);
	}
}

/* The time is for the whole line: a byte now and then does not lengthen it. */
static void line_that_drips_times_out(void **state)
{
	struct ends ends = ends_unix();
	struct writer writer = {
		.ends = &ends, .bytes = LINE, .length = LENGTH, .mask = 0x3fff, .pause_us = 200000
	};
	uint64_t begun = unit_ms();
	pid_t child = unit_fork(write_pieces, &writer);

	(void)state;
	assert_int_equal(take(&ends, (struct span){ .ms = 300 }, false), LINE_TIMEOUT);
	assert_in_range(unit_ms() - begun, 299, 300 + UNIT_SLACK_MS);
	unit_kill(child);
	ends_close(&ends);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Signals neither end the reading nor lengthen it. */
static void line_reading_survives_signals(void **state)
{
	struct sigaction action = { .sa_handler = on_alarm }, before;
	struct itimerval often = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 };
	struct itimerval never = { .it_interval.tv_usec = 0 };

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	for (unsigned kind = 0; kind < 2; kind++) {
		struct ends ends = kinds[kind]();
		struct writer writer = { .ends = &ends,
			.bytes = LINE,
			.length = LENGTH,
			.mask = 0x0101,
			.pause_us = 30000 };
		pid_t child = unit_fork(write_pieces, &writer);
		uint64_t begun;

		assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
		assert_int_equal(take(&ends, patient, false), LINE_VALID);
		begun = unit_ms();
		assert_int_equal(take(&ends, (struct span){ .ms = 60 }, false), LINE_TIMEOUT);
		assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
		assert_in_range(unit_ms() - begun, 59, 60 + UNIT_SLACK_MS);
		assert_int_equal(unit_reap(child), 0);
		ends_close(&ends);
	}
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

/* A datagram socket's wake-up without data, or a shared descriptor: nothing to read is no end. */
static void line_reading_is_not_fooled_by_an_empty_socket(void **state)
{
	struct ends ends = ends_unix();

	(void)state;
	assert_int_equal(fcntl(ends.fd[0], F_SETFL, O_NONBLOCK), 0);
	ends.is_socket = false; /* read(2) says EAGAIN, too */
	assert_int_equal(read_pieces(&ends, LINE, LENGTH, 0x1248), LINE_VALID);
	assert_int_equal(take(&ends, (struct span){ .ms = 30 }, false), LINE_TIMEOUT);
	ends_close(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_is_the_15_bytes_and_nothing_more_is_waited_for),
		cmocka_unit_test(line_with_any_byte_changed_is_not_valid),
		cmocka_unit_test(line_cut_short_anywhere_is_not_valid),
		cmocka_unit_test(line_with_any_byte_behind_it_is_malformed),
		cmocka_unit_test(line_with_any_byte_before_it_is_malformed),
		cmocka_unit_test(line_ended_by_a_bare_lf_is_valid_only_if_allowed),
		cmocka_unit_test(line_of_16_bytes_without_lf_is_malformed_at_once),
		cmocka_unit_test(line_may_come_in_any_pieces),
		cmocka_unit_test(line_is_read_from_every_kind_of_descriptor),
		cmocka_unit_test(line_is_read_in_any_pieces),
		cmocka_unit_test(line_malformed_is_for_one_of_a_few_fixed_reasons),
		cmocka_unit_test(line_malformed_for_bare_lf_is_what_bare_lf_takes),
		cmocka_unit_test(line_reads_never_more_than_16_bytes),
		cmocka_unit_test(line_is_decided_at_its_lf),
		cmocka_unit_test(line_cut_short_by_the_end_is_malformed),
		cmocka_unit_test(line_before_a_reset_counts),
		cmocka_unit_test(line_that_a_reset_cuts_short_is_malformed),
		cmocka_unit_test(line_from_a_terminal_that_hangs_up_is_malformed),
		cmocka_unit_test(line_from_a_bad_descriptor_fails),
		cmocka_unit_test(line_that_does_not_come_times_out),
		cmocka_unit_test(line_that_drips_times_out),
		cmocka_unit_test(line_reading_survives_signals),
		cmocka_unit_test(line_reading_is_not_fooled_by_an_empty_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
