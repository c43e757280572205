/* SPDX-License-Identifier: ISC */
/* S5: letters that a death has left, at each stage of it; and what else the kernel says of them. */
#include "../../src/relay/inbox.c"

#include <sys/mount.h>
#include <sys/un.h>

#include "unit.h"

#define NOW 1000000u

static struct inbox *inbox;
static char said[512];
static int ends[2]; /* a sender's, and ours */

/* What was read: one line a letter. */
static char read_text[8192];
static unsigned letters;
static struct letter last;
static unsigned dies_at; /* the letter at which the reader's process dies; 0: none */

static void logger(void *context, const char *message)
{
	(void)context;
	(void)snprintf(said, sizeof(said), "%s", message);
}

static void reader(void *context, const struct letter *letter)
{
	size_t length = strlen(read_text);

	(void)context;
	last = *letter;
	if (++letters == dies_at)
		_exit(0);
	(void)snprintf(read_text + length, sizeof(read_text) - length, "%.*s;",
		(int)(letter->length < 40 ? letter->length : 40), letter->bytes);
}

static void open_inbox(void **state)
{
	const struct unit_place *place = *state;

	said[0] = read_text[0] = '\0';
	letters = dies_at = 0;
	inbox = inbox_open(place->fd, reader, logger, NULL);
	assert_non_null(inbox);
}

static void read_left(void **state)
{
	inbox_close(inbox);
	open_inbox(state);
	inbox_read_left(inbox, (struct instant){ .ms = NOW });
}

static void connect_ends(enum inbox_kind kind)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	inbox_prepare(ends[1], kind);
}

static void send_text(const char *text)
{
	assert_int_equal(send(ends[0], text, strlen(text), 0), strlen(text));
}

static int receive_kind(enum inbox_kind kind)
{
	uint32_t lost = 0;

	return inbox_receive(inbox, ends[1], kind, (struct instant){ .ms = NOW }, &lost);
}

static void disconnect_ends(void)
{
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(close(ends[1]), 0);
}

/* All but the kind, and whether it was cut: both are said anew each time. */
static bool is_empty(void)
{
	static const struct slot zeros;

	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *slot = &inbox->slot[i];

		if (slot->came_at != 0 || slot->length != 0 ||
			memcmp(slot->control, zeros.control, sizeof(zeros.control)) != 0 ||
			memcmp(slot->bytes, zeros.bytes, sizeof(zeros.bytes)) != 0)
			return false;
	}
	return true;
}

/* ---- As it should be ---- */

static void inbox_reads_what_has_come_in_order(void **state)
{
	open_inbox(state);
	connect_ends(INBOX_NOTICE);
	send_text("mail alice");
	send_text("login bob ::1");
	assert_int_equal(receive_kind(INBOX_NOTICE), 2);
	assert_string_equal(read_text, "mail alice;login bob ::1;");
	assert_in_range(last.came.ms, NOW - 60000, NOW);
	assert_int_equal(last.kind, INBOX_NOTICE);
	assert_true(last.has_sender && last.uid == getuid() && last.gid == getgid());
	assert_false(last.is_cut);
	assert_true(is_empty());
	assert_int_equal(receive_kind(INBOX_NOTICE), -1);
	assert_int_equal(errno, EAGAIN);
	read_left(state);
	assert_int_equal(letters, 0);
	disconnect_ends();
	inbox_close(inbox);
}

static void inbox_reads_some_at_once(void **state)
{
	open_inbox(state);
	connect_ends(INBOX_CYRUS);
	for (unsigned round = 0; round < 20; round++) { /* as many as a short queue takes */
		for (unsigned i = 0; i < 5; i++)
			send_text("x");
		assert_int_equal(receive_kind(INBOX_CYRUS), 5);
		assert_int_equal(last.kind, INBOX_CYRUS);
	}
	assert_int_equal(letters, 100);
	disconnect_ends();
	inbox_close(inbox);
}

static void inbox_says_when_nobody_is_named(void **state)
{
	open_inbox(state);
	connect_ends(INBOX_BIFF); /* nobody asks who it is */
	send_text("alice@1");
	assert_int_equal(receive_kind(INBOX_BIFF), 1);
	assert_false(last.has_sender);
	/* Who was named before is not taken for who speaks now. */
	inbox_prepare(ends[1], INBOX_NOTICE);
	send_text("mail alice");
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_true(last.has_sender);
	disconnect_ends();
	connect_ends(INBOX_BIFF);
	send_text("alice@1");
	assert_int_equal(receive_kind(INBOX_BIFF), 1);
	assert_false(last.has_sender);
	disconnect_ends();
	inbox_close(inbox);
}

static void S4_inbox_says_what_is_too_long(void **state)
{
	static char text[INBOX_BYTES + 2];

	open_inbox(state);
	connect_ends(INBOX_NOTICE);
	memset(text, 'x', INBOX_BYTES + 1);
	send_text(text);
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_true(last.is_cut);
	assert_int_equal(last.length, INBOX_BYTES);
	assert_true(is_empty());
	text[INBOX_BYTES] = '\0';
	send_text(text);
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_false(last.is_cut);
	assert_int_equal(last.length, INBOX_BYTES);
	disconnect_ends();
	inbox_close(inbox);
}

static void inbox_takes_letters_that_are_empty_or_begin_with_nothing(void **state)
{
	open_inbox(state);
	connect_ends(INBOX_NOTICE);
	assert_int_equal(send(ends[0], "", 0, 0), 0);
	assert_int_equal(send(ends[0], "\0abc", 4, 0), 4);
	assert_int_equal(receive_kind(INBOX_NOTICE), 2);
	assert_int_equal(last.length, 4);
	assert_true(is_empty());
	disconnect_ends();
	inbox_close(inbox);
}

/* Any local user may put some beside his bytes. */
static void send_with_descriptors(const char *text)
{
	const int given[] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(given))] = "";
	struct iovec part = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(given));
	memcpy(CMSG_DATA(rights), given, sizeof(given));
	assert_int_equal(sendmsg(ends[0], &message, 0), strlen(text));
}

static int first_free(void)
{
	int fd = dup(STDIN_FILENO);

	assert_int_equal(close(fd), 0);
	return fd;
}

static void S4_inbox_keeps_no_descriptor_that_comes_with_a_letter(void **state)
{
	int before;

	open_inbox(state);
	connect_ends(INBOX_NOTICE);
	before = first_free();
	for (unsigned i = 0; i < 5; i++)
		send_with_descriptors("mail alice");
	assert_int_equal(receive_kind(INBOX_NOTICE), 5);
	assert_true(last.has_sender && last.uid == getuid());
	assert_int_equal(first_free(), before);
	disconnect_ends();
	inbox_close(inbox);
}

/* UDP, whose queue drops what does not fit. */
static void S4_inbox_says_how_many_were_lost(void **state)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	const int least = 1;
	char bytes[1000];
	uint32_t lost = 0;

	memset(bytes, 'x', sizeof(bytes));
	memset(&address, 0, sizeof(address));
	address.ss_family = AF_INET;
	ends[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ends[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
	assert_int_equal(bind(ends[1], (struct sockaddr *)&address, 16), 0);
	assert_int_equal(getsockname(ends[1], (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&address, length), 0);
	open_inbox(state);
	inbox_prepare(ends[1], INBOX_BIFF);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(send(ends[0], bytes, sizeof(bytes), 0), sizeof(bytes));
	while (inbox_receive(inbox, ends[1], INBOX_BIFF, (struct instant){ .ms = NOW }, &lost) > 0)
		;
	/* The one behind the loss says it. */
	assert_int_equal(send(ends[0], bytes, sizeof(bytes), 0), sizeof(bytes));
	(void)inbox_receive(inbox, ends[1], INBOX_BIFF, (struct instant){ .ms = NOW }, &lost);
	assert_true(lost > 0);
	assert_int_equal(letters + lost, 41);
	disconnect_ends();
	inbox_close(inbox);
}

/* ---- A death ---- */

static int receive_and_die(void *context)
{
	(void)context;
	(void)receive_kind(INBOX_NOTICE);
	return 0;
}

/* At each letter: it, and those behind it, are there still; those before it are not. */
static void S5_inbox_a_death_while_letters_are_noted(void **state)
{
	static const char *const left[] = { "mail a;mail b;mail c;", "mail b;mail c;", "mail c;",
		"" };

	for (unsigned i = 0; i < COUNT(left); i++) {
		open_inbox(state);
		connect_ends(INBOX_NOTICE);
		send_text("mail a");
		send_text("mail b");
		send_text("mail c");
		dies_at = i + 1;
		assert_int_equal(unit_reap(unit_fork(receive_and_die, NULL)), 0);
		read_left(state);
		assert_string_equal(read_text, left[i]);
		if (left[i][0] != '\0') {
			assert_in_range(last.came.ms, NOW - 60000, NOW);
			assert_true(last.has_sender && last.uid == getuid());
			assert_int_equal(last.length, 6);
		}
		assert_true(is_empty());
		read_left(state);
		assert_int_equal(letters, 0);
		disconnect_ends();
		inbox_close(inbox);
	}
}

/* A login that waited in another queue while the relay was stopped may be older than the event. */
static void S1_inbox_a_letter_has_come_when_the_kernel_took_it(void **state)
{
	const struct timespec while_stopped = { .tv_nsec = 80000000 };

	open_inbox(state);
	connect_ends(INBOX_NOTICE);
	send_text("login bob ::1");
	(void)nanosleep(&while_stopped, NULL);
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_in_range(last.came.ms, 1, NOW - 79);
	disconnect_ends();
	inbox_close(inbox);
}

/* Its age, in ms, if the kernel took it `s` seconds after 1970, and now is the second 1000. */
static unsigned age_at(time_t s, size_t length)
{
	const struct timespec now = { .tv_sec = 1000 }, then = { .tv_sec = s };
	struct slot *slot = calloc(1, sizeof(*slot));
	struct cmsghdr *part = (struct cmsghdr *)(void *)slot->control;
	unsigned ms;

	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_TIMESTAMPNS;
	part->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(part), &then, sizeof(then));
	ms = age(slot, &now).ms;
	free(slot);
	return ms;
}

static void inbox_an_age_is_never_below_zero_or_beyond_its_type(void **state)
{
	(void)state;
	assert_int_equal(age_at(998, sizeof(struct timespec)), 2000);
	assert_int_equal(age_at(1002, sizeof(struct timespec)), 0); /* the clock was set back */
	assert_int_equal(age_at(-100000000, sizeof(struct timespec)), UINT32_MAX);
	assert_int_equal(age_at(998, 4), 0);
}

/* The kernel has written, and the process has died before it wrote how much. */
static void S5_inbox_a_death_before_the_length_is_written(void **state)
{
	open_inbox(state);
	memcpy(inbox->slot[0].bytes, "mail alice", 10);
	memcpy(inbox->slot[1].bytes, "alice@0\n", 9); /* its NUL is lost, and missed by nobody */
	inbox->slot[1].kind = INBOX_BIFF;
	memset(inbox->slot[63].bytes, 'x', INBOX_BYTES);
	inbox->slot[63].kind = INBOX_CYRUS;
	read_left(state);
	assert_string_equal(
		read_text, "mail alice;alice@0\n;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx;");
	assert_int_equal(last.length, INBOX_BYTES);
	assert_int_equal(last.kind, INBOX_CYRUS);
	assert_int_equal(last.came.ms, 0); /* not known: no login of it covers anything */
	assert_false(last.has_sender);
	assert_true(is_empty());
	inbox_close(inbox);
}

/* Noted, and died while it was emptied: from the first byte on. */
static void S5_inbox_a_death_while_a_slot_is_emptied(void **state)
{
	open_inbox(state);
	memcpy(inbox->slot[0].bytes, "\0ail alice", 10);
	inbox->slot[0].length = 10;
	inbox->slot[0].came_at = 5;
	memcpy(inbox->slot[1].bytes, "\0\0\0\0 bob", 8);
	inbox->slot[2].length = 8; /* all but that */
	inbox->slot[3].came_at = 7;
	inbox->slot[4].control[0] = 1;
	read_left(state);
	assert_int_equal(letters, 0);
	assert_true(is_empty());
	/* Nothing of it is in what comes next. */
	connect_ends(INBOX_NOTICE);
	send_text("mail x");
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_string_equal(read_text, "mail x;");
	disconnect_ends();
	inbox_close(inbox);
}

static void S5_inbox_times_of_the_future_are_not_known(void **state)
{
	open_inbox(state);
	memcpy(inbox->slot[0].bytes, "mail alice", 10);
	inbox->slot[0].came_at = NOW + 1;
	read_left(state);
	assert_int_equal(letters, 1);
	assert_int_equal(last.came.ms, 0);
	memcpy(inbox->slot[0].bytes, "mail alice", 10);
	inbox->slot[0].came_at = NOW;
	read_left(state);
	assert_in_range(last.came.ms, NOW - 60000, NOW);
	inbox_close(inbox);
}

/* ---- Damage ---- */

static void file_resize(void **state, off_t size)
{
	const struct unit_place *place = *state;
	int fd = openat(place->fd, FILE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(close(fd), 0);
}

static void S5_inbox_of_another_size_is_begun_afresh_and_said(void **state)
{
	static const off_t sizes[] = { 1, SLOTS * sizeof(struct slot) - 1,
		SLOTS * sizeof(struct slot) + 1, 4096 };

	for (unsigned i = 0; i < COUNT(sizes); i++) {
		open_inbox(state);
		memcpy(inbox->slot[0].bytes, "mail alice", 10);
		file_resize(state, sizes[i]);
		inbox_close(inbox);
		open_inbox(state);
		assert_string_equal(said, FILE_NAME ": is damaged or of another version: what was "
						    "being read is lost, and it begins afresh");
		assert_true(is_empty());
		inbox_close(inbox);
	}
	file_resize(state, 0);
	open_inbox(state);
	assert_string_equal(said, "");
	inbox_close(inbox);
}

/* Whatever is in it: letters have a length that fits, and a kind; and then it is empty. */
static void S5_inbox_of_any_bytes_is_read(void **state)
{
	uint64_t seed = 1;

	open_inbox(state);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < SLOTS; i++) {
			uint8_t *bytes = (uint8_t *)&inbox->slot[i];

			for (unsigned n = 0; n < offsetof(struct slot, bytes) + 8; n++)
				bytes[n] =
					(uint8_t)(random_below(&seed, 3) == 0 ? random_next(&seed)
									      : 0);
			bytes[offsetof(struct slot, bytes) + random_below(&seed, INBOX_BYTES)] = 1;
		}
		read_left(state);
		assert_true(last.length <= INBOX_BYTES);
		assert_in_range(last.kind, 0, INBOX_KINDS - 1);
		assert_true(is_empty());
	}
	inbox_close(inbox);
}

/* ---- Where there can be no file ---- */

static void expect_no_file(void **state, const char *why)
{
	char expected[256];

	(void)snprintf(expected, sizeof(expected),
		FILE_NAME
		": cannot be used (%s): what is being read is lost when the relay is killed",
		why);
	open_inbox(state);
	assert_string_equal(said, expected);
	connect_ends(INBOX_NOTICE);
	send_text("mail alice");
	assert_int_equal(receive_kind(INBOX_NOTICE), 1);
	assert_string_equal(read_text, "mail alice;");
	disconnect_ends();
	inbox_close(inbox);
}

static void S5_inbox_without_a_file_is_memory(void **state)
{
	const struct unit_place *place = *state;

	assert_int_equal(mkdirat(place->fd, FILE_NAME, 0700), 0);
	expect_no_file(state, "Is a directory");
	assert_int_equal(unlinkat(place->fd, FILE_NAME, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("elsewhere", place->fd, FILE_NAME), 0);
	expect_no_file(state, "Too many levels of symbolic links");
}

static int disk_remove(void **state)
{
	const struct unit_place *place = *state;

	(void)umount2(place->path, MNT_DETACH); /* where there is none */
	return unit_place_remove(state);
}

static void S5_inbox_on_a_full_disk_is_memory(void **state)
{
	struct unit_place *place = *state;

	if (mount("tmpfs", place->path, "tmpfs", 0, "size=128k") != 0)
		skip(); /* root only */
	(void)close(place->fd);
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect_no_file(state, "No space left on device");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unit_place_make, disk_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inbox_reads_what_has_come_in_order),
		TEST(inbox_reads_some_at_once),
		TEST(inbox_says_when_nobody_is_named),
		TEST(S1_inbox_a_letter_has_come_when_the_kernel_took_it),
		TEST(inbox_an_age_is_never_below_zero_or_beyond_its_type),
		TEST(S4_inbox_says_what_is_too_long),
		TEST(S4_inbox_keeps_no_descriptor_that_comes_with_a_letter),
		TEST(inbox_takes_letters_that_are_empty_or_begin_with_nothing),
		TEST(S4_inbox_says_how_many_were_lost),
		TEST(S5_inbox_a_death_while_letters_are_noted),
		TEST(S5_inbox_a_death_before_the_length_is_written),
		TEST(S5_inbox_a_death_while_a_slot_is_emptied),
		TEST(S5_inbox_times_of_the_future_are_not_known),
		TEST(S5_inbox_of_another_size_is_begun_afresh_and_said),
		TEST(S5_inbox_of_any_bytes_is_read),
		TEST(S5_inbox_without_a_file_is_memory),
		TEST(S5_inbox_on_a_full_disk_is_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
