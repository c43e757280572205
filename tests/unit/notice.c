/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/user_name.h"
#include "sender/notice.h"

static void assert_notice(const struct notice *notice, const char *wanted)
{
	assert_int_equal(notice->length, strlen(wanted));
	assert_memory_equal(notice->bytes, wanted, notice->length);
}

static void notice_of_mail_is_its_word_and_the_user(void **state)
{
	static const char *const users[] = { "alice", "alice@mx.example.org", " a b ", "J\xf6rg",
		"-u", "mail", "0" };
	struct notice notice;

	(void)state;
	for (unsigned i = 0; i < COUNT(users); i++) {
		char wanted[64];

		assert_null(notice_of_mail(&notice, users[i], false));
		(void)snprintf(wanted, sizeof(wanted), "mail %s", users[i]);
		assert_notice(&notice, wanted);
		assert_null(notice_of_mail(&notice, users[i], true));
		(void)snprintf(wanted, sizeof(wanted), "early %s", users[i]);
		assert_notice(&notice, wanted);
	}
}

static void notice_of_login_ends_with_the_address(void **state)
{
	static const char *const table[][2] = {
		{ "192.0.2.7", "login alice 192.0.2.7" },
		{ "::ffff:192.0.2.7", "login alice 192.0.2.7" },
		{ "2001:DB8:0::7", "login alice 2001:db8::7" },
		{ "fe80::7%1000000", "login alice fe80::7%1000000" },
	};
	struct notice notice;

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++) {
		assert_null(notice_of_login(&notice, "alice", table[i][0]));
		assert_notice(&notice, table[i][1]);
	}
	assert_null(notice_of_login(&notice, "a b 192.0.2.8", "192.0.2.7"));
	assert_notice(&notice, "login a b 192.0.2.8 192.0.2.7");
	assert_non_null(notice_of_login(&notice, "alice", ""));
	assert_non_null(notice_of_login(&notice, "alice", "localhost"));
	assert_non_null(notice_of_login(&notice, "alice", "192.0.2.7 "));
	assert_non_null(notice_of_login(&notice, "", "192.0.2.7"));
}

static void notice_has_no_control_characters(void **state)
{
	struct notice notice;

	(void)state;
	assert_non_null(notice_of_mail(&notice, "", false));
	for (unsigned byte = 1; byte < 256; byte++) {
		const char user[] = { 'a', (char)byte, 'b', '\0' };
		bool is_control = byte < 32 || byte == 127;

		assert_int_equal(notice_of_mail(&notice, user, false) != NULL, is_control);
		assert_int_equal(notice_of_login(&notice, user, "::1") != NULL, is_control);
	}
}

static void S4_a_notice_has_a_user_whom_the_relay_takes(void **state)
{
	char user[NOTICE_MAX + 2];
	struct notice notice;

	(void)state;
	for (size_t length = 1; length < sizeof(user); length++) {
		memset(user, 'x', length);
		user[length] = '\0';
		assert_int_equal(
			notice_of_mail(&notice, user, false) == NULL, length <= USER_NAME_MAX);
		assert_int_equal(
			notice_of_mail(&notice, user, true) == NULL, length <= USER_NAME_MAX);
		assert_int_equal(
			notice_of_login(&notice, user, "::1") == NULL, length <= USER_NAME_MAX);
		assert_true(notice.length <= NOTICE_MAX);
	}
}

static void S3_a_notice_is_one_datagram(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), sent = 0;
	struct notice notice;
	char bytes[1024], reason[512];
	struct text why = TEXT_IN(reason);

	(void)state;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/notice.%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_null(notice_of_mail(&notice, "alice", false));
	assert_true(notice_send(&notice, address.sun_path, &why));
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 10);
	assert_memory_equal(bytes, "mail alice", 10);
	/* Nobody reads: it is the queue that says so, and nothing waits. */
	while (sent < 100000 && notice_send(&notice, address.sun_path, &why))
		sent++;
	assert_in_range(sent, 1, 99999);
	assert_non_null(strstr(reason, ": its queue is full"));
	(void)close(fd);
	why = TEXT_IN(reason);
	assert_false(notice_send(&notice, address.sun_path, &why));
	assert_non_null(strstr(reason, strerror(ECONNREFUSED)));
	assert_int_equal(unlink(address.sun_path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notice_of_mail_is_its_word_and_the_user),
		cmocka_unit_test(notice_of_login_ends_with_the_address),
		cmocka_unit_test(notice_has_no_control_characters),
		cmocka_unit_test(S4_a_notice_has_a_user_whom_the_relay_takes),
		cmocka_unit_test(S3_a_notice_is_one_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
