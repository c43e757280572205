/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include "log.h"

#define TEXT_MAX 65536

/* ---- What a child writes to its standard error ---- */

typedef void speaker(struct log *log, void *context);

struct capture {
	speaker *speak;
	void *context;
	struct log log;
	int pipe;
};

static int speak(void *context)
{
	struct capture *capture = context;

	if (dup2(capture->pipe, STDERR_FILENO) < 0)
		return 1;
	capture->speak(&capture->log, capture->context);
	return 0;
}

/* Takes the "nmnotify[PID]: " from the beginning of each line, when it is as it should be. */
static void strip(char *text, pid_t pid)
{
	char prefix[64];
	size_t length = (size_t)sprintf(prefix, "nmnotify[%d]: ", (int)pid);

	for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		assert_memory_equal(line, prefix, length);
		memmove(line, line + length, strlen(line + length) + 1);
		assert_non_null(strchr(line, '\n'));
	}
}

/* The lines that `say` makes of `log`; the caller's until the next call. */
static const char *lines_of(struct log log, speaker *say, void *context)
{
	static char text[TEXT_MAX];
	struct capture capture = { .speak = say, .context = context, .log = log };
	size_t length = 0;
	int fd[2];
	struct pollfd pollfd = { .events = POLLIN };
	ssize_t got;
	pid_t child;

	capture.log.program = "nmnotify";
	capture.log.target = LOG_TARGET_STDERR;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	capture.pipe = fd[1];
	child = unit_fork(speak, &capture);
	pollfd.fd = fd[0];
	(void)close(fd[1]);
	while (poll(&pollfd, 1, UNIT_PATIENCE_MS / 2) == 1 &&
		(got = read(fd[0], text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	(void)close(fd[0]);
	assert_int_equal(unit_reap(child), 0);
	strip(text, child);
	return text;
}

static const struct log home = { .stderr_usable = true, .account = "home", .source = "192.0.2.25" };
static const struct log nobody = { .stderr_usable = true };

/* ---- Lines ---- */

struct said {
	enum verdict verdict;
	const char *reason;
};

static void say_verdict(struct log *log, void *context)
{
	const struct said *said = context;

	if (log->state != NULL)
		log_verdict(log, said->verdict, said->reason);
	else
		log_admitted(log, said->verdict, said->reason, 0);
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

static void say_errors(struct log *log, void *context)
{
	(void)context;
	log_error(log, "%s: %s", "opening", "no");
	log_error(log, "%s", "word");
	log_error(log, "%d%%", 7);
}

static void say_runs(struct log *log, void *context)
{
	(void)context;
	log_run_ended(log, 0, 2310, NULL, false);
	log_run_ended(log, 143, 300009, "timeout", true);
	log_run_ended(log, 1, 0, NULL, true);
	log_run_ended(log, 255, 4294967295999, "signal", false);
	log_run_failed(log, 127, "/no/such program: No such file or directory");
}

static void log_says_errors_and_how_runs_ended(void **state)
{
	(void)state;
	assert_string_equal(lines_of(nobody, say_errors, NULL),
		"verdict=error reason=\"opening: no\"\n"
		"verdict=error reason=word\n"
		"verdict=error reason=7%\n");
	assert_string_equal(lines_of(home, say_runs, NULL),
		"run=ended account=home source=192.0.2.25 status=0 seconds=2.31\n"
		"run=ended account=home source=192.0.2.25 status=143 seconds=300.00 "
		"reason=timeout left=running\n"
		"run=ended account=home source=192.0.2.25 status=1 seconds=0.00 left=running\n"
		"run=ended account=home source=192.0.2.25 status=255 seconds=4294967295.99 "
		"reason=signal\n"
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

/* ---- Counting and limiting ---- */

static void say_many(struct log *log, void *context)
{
	const struct said *said = context;

	for (unsigned i = 0; i < 50; i++)
		log_verdict(log, said->verdict, NULL);
}

static unsigned lines_in(const char *text)
{
	unsigned lines = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		lines++;
	}
	return lines;
}

static void G4_log_lines_that_a_flood_causes_are_limited(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	struct log log = home;

	(void)state;
	log.state = shared;
	for (unsigned i = 0; i < VERDICTS; i++) {
		struct said said = { .verdict = (enum verdict)i };
		/* The others come once in an interval. */
		bool floods = i != VERDICT_ACCEPTED && i != VERDICT_DEFERRED;

		assert_int_equal(lines_in(lines_of(log, say_many, &said)), floods ? 10 : 50);
		assert_int_equal(atomic_load(&shared->verdicts[i]), 50);
		assert_int_equal(atomic_load(&shared->suppressed[i]), floods ? 40 : 0);
	}
	unit_unshare(shared, sizeof(*shared));
}

/* There is nothing to count in: then a flood must cause no line, and our own failure one. */
static void G4_log_without_state_says_nothing_but_errors(void **state)
{
	struct log log = home;

	(void)state;
	for (int mute = 0; mute < 2; mute++) {
		log.is_mute = mute == 1;
		for (unsigned i = 0; i < VERDICTS; i++) {
			struct said said = { .verdict = (enum verdict)i };
			bool is_said = i == VERDICT_ERROR && !log.is_mute;

			assert_int_equal(
				lines_in(lines_of(log, say_many, &said)), is_said ? 50 : 0);
		}
	}
}

static void log_says_how_many_lines_it_suppressed(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	struct log log = home;

	(void)state;
	log.state = shared;
	(void)lines_of(log, say_many, &(struct said){ .verdict = VERDICT_TIMEOUT });
	atomic_store(&shared->log_tat[VERDICT_TIMEOUT], 0); /* as after a long time */
	assert_string_equal(verdict_line(log, VERDICT_TIMEOUT, NULL),
		"verdict=timeout account=home source=192.0.2.25 suppressed=40\n");
	assert_string_equal(verdict_line(log, VERDICT_TIMEOUT, NULL),
		"verdict=timeout account=home source=192.0.2.25\n");
	unit_unshare(shared, sizeof(*shared));
}

static void log_admits_what_it_then_counts_as_told(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	uint32_t suppressed = 99, admitted = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		admitted += log_admit(shared, VERDICT_DENIED, &suppressed);
		assert_int_equal(suppressed, 0);
	}
	assert_int_equal(admitted, 10);
	atomic_store(&shared->log_tat[VERDICT_DENIED], 0);
	assert_true(log_admit(shared, VERDICT_DENIED, &suppressed));
	assert_int_equal(suppressed, 40);
	assert_int_equal(atomic_load(&shared->verdicts[VERDICT_DENIED]), 51);
	assert_true(log_admit(shared, VERDICT_ACCEPTED, &suppressed));
	assert_int_equal(suppressed, 0);
	unit_unshare(shared, sizeof(*shared));
}

#define SPEAKERS 8
#define WORDS    3000

struct choir {
	_Atomic unsigned here;
	struct state state;
};

static void sing(struct log *log, void *context)
{
	(void)context;
	for (unsigned i = 0; i < WORDS; i++)
		log_verdict(log, VERDICT_MALFORMED, NULL);
}

static int sing_together(void *context)
{
	struct capture *capture = context;
	struct choir *choir = capture->context;

	unit_meet(&choir->here, SPEAKERS);
	return speak(context);
}

/* Every call made either a line, or one more in the `suppressed` of a line that came, or will. */
static void log_counts_are_exact_under_any_number_of_processes(void **state)
{
	static char text[TEXT_MAX];
	struct choir *choir = unit_shared(sizeof(*choir));
	struct capture capture = { .speak = sing, .context = choir, .log = nobody };
	unsigned lines = 0;
	uint64_t suppressed = 0;
	int fd[2];
	ssize_t length;

	(void)state;
	capture.log.program = "nmnotify";
	capture.log.target = LOG_TARGET_STDERR;
	capture.log.state = &choir->state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	capture.pipe = fd[1];
	unit_crowd(SPEAKERS, sing_together, &capture);
	length = read(fd[0], text, sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		const char *count = strstr(line, " suppressed=");

		assert_memory_equal(line, "nmnotify[", 9);
		assert_non_null(strstr(line, "]: verdict=malformed"));
		suppressed += count != NULL ? strtoull(count + 12, NULL, 10) : 0;
		lines++;
	}
	suppressed += atomic_load(&choir->state.suppressed[VERDICT_MALFORMED]);
	assert_in_range(lines, 10, 12); /* one in ten seconds more */
	assert_int_equal(lines + suppressed, SPEAKERS * WORDS);
	assert_int_equal(atomic_load(&choir->state.verdicts[VERDICT_MALFORMED]), SPEAKERS * WORDS);
	(void)close(fd[0]);
	(void)close(fd[1]);
	unit_unshare(choir, sizeof(*choir));
}

struct tally {
	_Atomic unsigned here, calls, admitted;
	_Atomic uint64_t suppressed;
	struct state state;
	uint64_t end_ns;
};

/* Every now and then the limit forgets, so that lines are admitted all the time. */
static int admit_and_forget(void *context)
{
	struct tally *tally = context;
	uint64_t seed = 1 + atomic_fetch_add(&tally->here, 1);

	while (unit_ns() < tally->end_ns) {
		uint32_t suppressed;

		if (random_below(&seed, 40) == 0)
			atomic_store(&tally->state.log_tat[VERDICT_DENIED], 0);
		atomic_fetch_add(&tally->calls, 1);
		atomic_fetch_add(
			&tally->admitted, log_admit(&tally->state, VERDICT_DENIED, &suppressed));
		atomic_fetch_add(&tally->suppressed, suppressed);
	}
	return 0;
}

/* However many lines are admitted at once, each suppressed one is told by one of them. */
static void log_tells_each_suppressed_line_once(void **state)
{
	struct tally *tally = unit_shared(sizeof(*tally));

	(void)state;
	tally->end_ns = unit_ns() + 200000000;
	unit_crowd(6, admit_and_forget, tally);
	assert_true(atomic_load(&tally->admitted) > 10);
	assert_true(atomic_load(&tally->suppressed) > 10);
	assert_int_equal(atomic_load(&tally->admitted) + atomic_load(&tally->suppressed) +
				 atomic_load(&tally->state.suppressed[VERDICT_DENIED]),
		atomic_load(&tally->calls));
	unit_unshare(tally, sizeof(*tally));
}

static void say_into_full_pipe(struct log *log, void *context)
{
	int fd[2];

	(void)context;
	if (pipe2(fd, O_CLOEXEC) != 0 || dup2(fd[1], STDERR_FILENO) < 0)
		return;
	for (unsigned i = 0; i < 4000; i++)
		log_verdict(log, VERDICT_ACCEPTED, NULL);
}

static void log_to_a_pipe_that_nobody_reads_is_not_waited_for(void **state)
{
	uint64_t begun = unit_ms();

	(void)state;
	assert_string_equal(lines_of(home, say_into_full_pipe, NULL), "");
	assert_in_range(unit_ms() - begun, 0, UNIT_SLACK_MS);
}

/* No content of the limit's word silences the log for longer than its window. */
static void G6_log_limit_with_any_word_is_a_limit(void **state)
{
	struct state *shared = unit_shared(sizeof(*shared));
	uint32_t now = moment_now().ms, suppressed;
	const uint32_t beyond[] = { 0, now - 1, now - 100000, now + 0x80000000u, now + 200000,
		UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < COUNT(beyond); i++) {
		if (beyond[i] - now - 1 < 150000)
			continue; /* by chance within the window */
		atomic_store(&shared->log_tat[VERDICT_DENIED], beyond[i]);
		assert_true(log_admit(shared, VERDICT_DENIED, &suppressed));
		assert_in_range(atomic_load(&shared->log_tat[VERDICT_DENIED]) - now, 10000, 20000);
	}
	unit_unshare(shared, sizeof(*shared));
}

/* ---- The journal and syslog: real sockets, in a file system of the child's own ---- */

struct hall {
	enum log_target target;
	bool journal, syslog, is_full;
	char heard_by_journal[4096], heard_by_syslog[4096], heard_by_stderr[4096];
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
			log_verdict(log, VERDICT_ERROR, "filling up");
}

static int speak_in_hall(void *context)
{
	struct hall *hall = context;
	int journal = -1, syslog_socket = -1, fd[2];
	struct log log = home;

	if (!hall_build() || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return UNIT_CANNOT;
	if (hall->journal)
		journal = listen_at("/run/systemd/journal/socket");
	if (hall->syslog)
		syslog_socket = listen_at("/dev/log");
	hall->speaker = getpid();
	if (dup2(fd[1], STDERR_FILENO) < 0)
		return 1;
	log.program = "nmnotify";
	log.target = hall->target;
	fill_up(&log, hall);
	log_admitted(&log, VERDICT_DENIED, "a b", 0);
	hear(journal, hall->heard_by_journal);
	hear(syslog_socket, hall->heard_by_syslog);
	hear(fd[0], hall->heard_by_stderr);
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
		cmocka_unit_test(log_says_errors_and_how_runs_ended),
		cmocka_unit_test(log_escapes_whatever_could_forge_a_line),
		cmocka_unit_test(log_cuts_values_that_are_too_long),
		cmocka_unit_test(G7_log_keeps_silent_where_stderr_is_the_network),
		cmocka_unit_test(G4_log_lines_that_a_flood_causes_are_limited),
		cmocka_unit_test(G4_log_without_state_says_nothing_but_errors),
		cmocka_unit_test(log_says_how_many_lines_it_suppressed),
		cmocka_unit_test(log_admits_what_it_then_counts_as_told),
		cmocka_unit_test(log_counts_are_exact_under_any_number_of_processes),
		cmocka_unit_test(log_tells_each_suppressed_line_once),
		cmocka_unit_test(log_to_a_pipe_that_nobody_reads_is_not_waited_for),
		cmocka_unit_test(G6_log_limit_with_any_word_is_a_limit),
		cmocka_unit_test(log_to_the_journal_is_in_its_own_words),
		cmocka_unit_test(log_to_syslog_is_a_line_with_a_priority),
		cmocka_unit_test(log_auto_falls_back_to_stderr_and_a_named_target_does_not),
		cmocka_unit_test(log_that_is_full_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
