/* SPDX-License-Identifier: ISC */
#include "capture.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

/* ---- Lines ---- */

struct said {
	enum verdict verdict;
	const char *reason;
};

static const char *lines_of(struct log log, speaker *say, void *context)
{
	return lines_captured((struct capture){ .speak = say, .context = context, .log = log });
}

static void say_verdict(struct tally *tally, void *context)
{
	const struct said *said = context;

	log_verdict(tally->log, said->verdict, said->reason, 0);
}

static const char *verdict_line(struct log log, enum verdict verdict, const char *reason)
{
	struct said said = { .verdict = verdict, .reason = reason };

	return lines_of(log, say_verdict, &said);
}

static void log_says_each_verdict_by_the_design_s_word(void **state)
{
	static const char *const words[VERDICTS] = { "accepted", "deferred", "coalesced", "denied",
		"malformed", "timeout", "error" };

	(void)state;
	for (unsigned i = 0; i < VERDICTS; i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "verdict=%s account=home source=192.0.2.25\n",
			words[i]);
		assert_string_equal(verdict_line(home, (enum verdict)i, NULL), line);
		(void)snprintf(line, sizeof(line), "verdict=%s\n", words[i]);
		assert_string_equal(verdict_line(nobody, (enum verdict)i, NULL), line);
	}
}

static void say_runs(struct tally *tally, void *context)
{
	static const struct run_end ends[] = {
		{ .took = { 2310 } },
		{ .status = 143,
			.has_failed = true,
			.took = { 300009 },
			.reason = "timeout",
			.has_left = true },
		{ .status = 1, .has_left = true },
		{ .status = 255,
			.has_failed = true,
			.took = { 4294967295 },
			.reason = "signal",
			.retry = { 59001 } },
	};
	struct log *log = tally->log;

	(void)context;
	for (unsigned i = 0; i < COUNT(ends); i++)
		log_run_ended(log, &ends[i]);
	log_run_failing(log, 143, 3);
	log_run_recovered(log, 17);
	log_run_failed(log, 127, "/no/such program: No such file or directory");
}

static void log_says_how_runs_ended(void **state)
{
	(void)state;
	assert_string_equal(lines_of(home, say_runs, NULL),
		"run=ended account=home source=192.0.2.25 status=0 seconds=2.31\n"
		"run=ended account=home source=192.0.2.25 status=143 seconds=300.00 "
		"reason=timeout left=running\n"
		"run=ended account=home source=192.0.2.25 status=1 seconds=0.00 left=running\n"
		"run=ended account=home source=192.0.2.25 status=255 seconds=4294967.29 "
		"reason=signal retry=60\n"
		"run=failing account=home source=192.0.2.25 status=143 failures=3\n"
		"run=recovered account=home source=192.0.2.25 failures=17\n"
		"run=failed account=home source=192.0.2.25 status=127 "
		"reason=\"/no/such program: No such file or directory\"\n");
}

/* Every byte: what is not printable ASCII, and what would end a value, cannot get through. */
static void log_escapes_whatever_could_forge_a_line(void **state)
{
	(void)state;
	for (unsigned byte = 1; byte < 256; byte++) {
		const char reason[] = { 'a', (char)byte, 'b', '\0' };
		bool plain = byte > 32 && byte < 127 && byte != '"' && byte != '\\';
		char line[64];

		if (byte == ' ' || byte == '=')
			(void)snprintf(
				line, sizeof(line), "verdict=error reason=\"a%cb\"\n", (int)byte);
		else
			(void)snprintf(line, sizeof(line),
				plain ? "verdict=error reason=a%cb\n"
				      : "verdict=error reason=a\\x%02xb\n",
				byte);
		assert_string_equal(verdict_line(nobody, VERDICT_ERROR, reason), line);
	}
}

/* A value is cut between characters, never in the middle of an escape. */
static void log_cuts_values_that_are_too_long(void **state)
{
	static const char before[] = "verdict=error reason=";
	static char reason[5000];

	(void)state;
	for (size_t plain = 0; plain < 8; plain++) {
		const char *value;
		size_t length;

		memset(reason, '\n', sizeof(reason) - 1);
		memset(reason, 'x', plain);
		value = verdict_line(nobody, VERDICT_ERROR, reason) + strlen(before);
		length = strlen(value) - 1;
		assert_in_range(length, 700, 767);
		assert_int_equal((length - plain) % 4, 0);
		for (size_t at = plain; at < length; at += 4)
			assert_memory_equal(value + at, "\\x0a", 4);
	}
	memset(reason, 'x', sizeof(reason) - 1);
	assert_in_range(strspn(verdict_line(nobody, VERDICT_ERROR, reason) + strlen(before), "x"),
		700, 767);
}

static void G7_log_keeps_silent_where_stderr_is_the_network(void **state)
{
	struct log log = home;

	(void)state;
	log.stderr_usable = false;
	assert_string_equal(verdict_line(log, VERDICT_ACCEPTED, NULL), "");
	assert_string_equal(lines_of(log, say_runs, NULL), "");
}

static void say_into_full_pipe(struct tally *tally, void *context)
{
	int fd[2];

	(void)context;
	if (pipe2(fd, O_CLOEXEC) != 0 || dup2(fd[1], STDERR_FILENO) < 0)
		return;
	for (unsigned i = 0; i < 4000; i++)
		log_verdict(tally->log, VERDICT_ACCEPTED, NULL, 0);
}

static void log_to_a_pipe_that_nobody_reads_is_not_waited_for(void **state)
{
	uint64_t begun = unit_ms();

	(void)state;
	assert_string_equal(lines_of(home, say_into_full_pipe, NULL), "");
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
}

/* ---- The journal and syslog: real sockets, in a file system of the child's own ---- */

struct hall {
	enum log_target target;
	bool journal, syslog, kernel, is_full;
	char heard_by_journal[4096], heard_by_syslog[4096], heard_by_stderr[4096],
		heard_by_kernel[4096];
	pid_t speaker;
};

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static void hear(int fd, char text[4096])
{
	ssize_t length = fd >= 0 ? read(fd, text, 4095) : 0;

	text[length > 0 ? length : 0] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

static bool hall_build(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/run", "tmpfs", 0, NULL) == 0 &&
	       mount("none", "/dev", "tmpfs", 0, NULL) == 0 && mkdir("/run/systemd", 0755) == 0 &&
	       mkdir("/run/systemd/journal", 0755) == 0;
}

/* So many datagrams that no more fit. */
static void fill_up(struct log *log, struct hall *hall)
{
	if (hall->is_full)
		for (unsigned i = 0; i < 2000; i++)
			log_verdict(log, VERDICT_ERROR, "filling up", 0);
}

static int speak_in_hall(void *context)
{
	struct hall *hall = context;
	int journal = -1, syslog_socket = -1, kernel = -1, fd[2];
	struct log log = home;

	if (!hall_build() || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return UNIT_CANNOT;
	if (hall->journal)
		journal = listen_at("/run/systemd/journal/socket");
	if (hall->syslog)
		syslog_socket = listen_at("/dev/log");
	if (hall->kernel && mkfifo(LOG_KMSG, 0600) == 0)
		kernel = open(LOG_KMSG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	hall->speaker = getpid();
	if (dup2(fd[1], STDERR_FILENO) < 0)
		return 1;
	log.program = "nmnotify";
	log.target = hall->target;
	fill_up(&log, hall);
	log_verdict(&log, VERDICT_DENIED, "a b", 0);
	hear(journal, hall->heard_by_journal);
	hear(syslog_socket, hall->heard_by_syslog);
	hear(fd[0], hall->heard_by_stderr);
	hear(kernel, hall->heard_by_kernel);
	if (log.kmsg > 0 && !(fcntl(log.kmsg, F_GETFD) & FD_CLOEXEC))
		return 2;
	if (log.socket > 0 && !(fcntl(log.socket, F_GETFD) & FD_CLOEXEC))
		return 2;
	return 0;
}

static const struct hall *speak_where(struct hall hall)
{
	static struct hall *shared;

	if (shared == NULL)
		shared = unit_shared(sizeof(*shared));
	*shared = hall;
	unit_expect(unit_reap(unit_fork(speak_in_hall, shared)));
	return shared;
}

#define MESSAGE "verdict=denied account=home source=192.0.2.25 reason=\"a b\""

static void log_to_the_journal_is_in_its_own_words(void **state)
{
	const struct hall *hall = speak_where(
		(struct hall){ .target = LOG_TARGET_AUTO, .journal = true, .syslog = true });

	(void)state;
	assert_string_equal(hall->heard_by_journal,
		"SYSLOG_IDENTIFIER=nmnotify\nPRIORITY=5\nSYSLOG_FACILITY=3\n"
		"MESSAGE=" MESSAGE "\n"
		"NMNOTIFY_VERDICT=denied\nNMNOTIFY_ACCOUNT=home\n"
		"NMNOTIFY_SOURCE=192.0.2.25\nNMNOTIFY_REASON=a b\n");
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
	hall = speak_where(
		(struct hall){ .target = LOG_TARGET_JOURNAL, .journal = true, .syslog = true });
	assert_non_null(strstr(hall->heard_by_journal, MESSAGE));
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
}

static void log_to_syslog_is_a_line_with_a_priority(void **state)
{
	char line[256];
	const struct hall *hall =
		speak_where((struct hall){ .target = LOG_TARGET_AUTO, .syslog = true });

	(void)state;
	(void)snprintf(line, sizeof(line), "<%d>nmnotify[%d]: " MESSAGE, LOG_DAEMON | LOG_NOTICE,
		(int)hall->speaker);
	assert_string_equal(hall->heard_by_syslog, line);
	assert_string_equal(hall->heard_by_stderr, "");
	hall = speak_where(
		(struct hall){ .target = LOG_TARGET_SYSLOG, .journal = true, .syslog = true });
	assert_non_null(strstr(hall->heard_by_syslog, MESSAGE));
	assert_string_equal(hall->heard_by_journal, "");
}

static void log_auto_falls_back_to_stderr_and_a_named_target_does_not(void **state)
{
	const struct hall *hall = speak_where((struct hall){ .target = LOG_TARGET_AUTO });

	(void)state;
	assert_non_null(strstr(hall->heard_by_stderr, MESSAGE "\n"));
	hall = speak_where((struct hall){ .target = LOG_TARGET_JOURNAL, .syslog = true });
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
	hall = speak_where((struct hall){ .target = LOG_TARGET_SYSLOG, .journal = true });
	assert_string_equal(hall->heard_by_journal, "");
	assert_string_equal(hall->heard_by_stderr, "");
}

static void log_to_the_kernel_is_a_line_with_a_priority(void **state)
{
	char line[256];
	const struct hall *hall = speak_where((struct hall){
		.target = LOG_TARGET_KMSG, .journal = true, .syslog = true, .kernel = true });

	(void)state;
	(void)snprintf(line, sizeof(line), "<%d>nmnotify[%d]: " MESSAGE, LOG_DAEMON | LOG_NOTICE,
		(int)hall->speaker);
	assert_string_equal(hall->heard_by_kernel, line);
	assert_string_equal(hall->heard_by_journal, "");
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
	/* A stranger who floods other logs would push out the kernel's own messages. */
	hall = speak_where((struct hall){ .target = LOG_TARGET_AUTO, .kernel = true });
	assert_string_equal(hall->heard_by_kernel, "");
	/* Nowhere else, if there is none. */
	hall = speak_where((struct hall){ .target = LOG_TARGET_KMSG, .syslog = true });
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
}

/* A log that nobody reads loses lines, and holds up nobody. */
static void log_that_is_full_is_not_waited_for(void **state)
{
	uint64_t begun = unit_ms();
	const struct hall *hall = speak_where((struct hall){
		.target = LOG_TARGET_AUTO, .journal = true, .syslog = true, .is_full = true });

	(void)state;
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
	assert_non_null(strstr(hall->heard_by_journal, "filling up"));
	assert_string_equal(hall->heard_by_syslog, "");
	assert_string_equal(hall->heard_by_stderr, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_says_each_verdict_by_the_design_s_word),
		cmocka_unit_test(log_says_how_runs_ended),
		cmocka_unit_test(log_escapes_whatever_could_forge_a_line),
		cmocka_unit_test(log_cuts_values_that_are_too_long),
		cmocka_unit_test(G7_log_keeps_silent_where_stderr_is_the_network),
		cmocka_unit_test(log_to_a_pipe_that_nobody_reads_is_not_waited_for),
		cmocka_unit_test(log_to_the_journal_is_in_its_own_words),
		cmocka_unit_test(log_to_syslog_is_a_line_with_a_priority),
		cmocka_unit_test(log_auto_falls_back_to_stderr_and_a_named_target_does_not),
		cmocka_unit_test(log_to_the_kernel_is_a_line_with_a_priority),
		cmocka_unit_test(log_that_is_full_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
