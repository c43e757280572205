/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "sender/login.h"

/* What is said in an environment of just these variables: "USER ADDRESS", "" for nobody, NULL if it is
 * wrong. */
static const char *said(const char *const *variables)
{
	static const char *const names[] = { "PAM_SERVICE", "PAM_USER", "PAM_RHOST", "PAM_TYPE", "USER", "IP",
		"AUTHENTICATED", "AUTHADDR", "TCPREMOTEIP" };
	static char text[256];
	struct login login;

	/* Not all: how cmocka is to write is in there, too. */
	for (unsigned i = 0; i < COUNT(names); i++)
		(void)unsetenv(names[i]);
	for (; *variables != NULL; variables++)
		assert_int_equal(putenv((char *)(uintptr_t)*variables), 0);
	if (login_of_environment(&login) != NULL)
		return NULL;
	(void)snprintf(text, sizeof(text), "%s%s%s", login.user != NULL ? login.user : "",
		login.user != NULL ? " " : "", login.user != NULL ? login.address : "");
	return text;
}

#define SAID(...) said((const char *const[]){ __VA_ARGS__, NULL })

static void login_is_what_dovecot_says(void **state)
{
	(void)state;
	assert_string_equal(SAID("USER=alice", "IP=192.0.2.7", "LOCAL_IP=192.0.2.1"), "alice 192.0.2.7");
	assert_string_equal(SAID("USER=", "IP="), " ");
	assert_null(SAID("USER=alice"));
	assert_null(SAID("IP=192.0.2.7"));
	assert_null(SAID("PATH=/bin"));
}

static void login_is_what_courier_says(void **state)
{
	(void)state;
	assert_string_equal(SAID("AUTHENTICATED=alice", "TCPREMOTEIP=::ffff:192.0.2.7", "USER=x", "IP=::1"),
		"alice ::ffff:192.0.2.7");
	assert_string_equal(SAID("AUTHADDR=alice", "TCPREMOTEIP=::1"), "alice ::1");
	assert_string_equal(
		SAID("AUTHADDR=bob", "AUTHENTICATED=alice", "TCPREMOTEIP=::1"), "alice ::1");
	assert_null(SAID("AUTHENTICATED=alice"));
	assert_null(SAID("TCPREMOTEIP=::1"));
}

static void login_is_what_pam_says(void **state)
{
	static const char *const before[] = { "PAM_TYPE=auth", "PAM_TYPE=password", "PAM_TYPE=",
		"PAM_TYPE=x" };

	(void)state;
	assert_string_equal(SAID("PAM_SERVICE=dovecot", "PAM_USER=alice", "PAM_RHOST=192.0.2.7"),
		"alice 192.0.2.7");
	assert_string_equal(SAID("PAM_SERVICE=dovecot", "PAM_USER=alice", "PAM_RHOST=192.0.2.7",
				    "PAM_TYPE=open_session", "USER=root", "IP=::1",
				    "AUTHENTICATED=bob", "TCPREMOTEIP=::2"),
		"alice 192.0.2.7");
	assert_string_equal(
		SAID("PAM_SERVICE=x", "PAM_USER=alice", "PAM_RHOST=::1", "PAM_TYPE=account"),
		"alice ::1");
	assert_null(SAID("PAM_SERVICE=cyrus", "PAM_USER=alice", "PAM_TYPE=account"));
	assert_null(SAID("PAM_USER=alice", "PAM_RHOST=::1"));
	/* Its end is no login; and whom PAM has not let in yet could be anybody. */
	assert_string_equal(
		SAID("PAM_SERVICE=x", "PAM_USER=a", "PAM_RHOST=::1", "PAM_TYPE=close_session"), "");
	for (unsigned i = 0; i < COUNT(before); i++)
		assert_null(SAID("PAM_SERVICE=x", "PAM_USER=a", "PAM_RHOST=::1", before[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(login_is_what_dovecot_says),
		cmocka_unit_test(login_is_what_courier_says),
		cmocka_unit_test(login_is_what_pam_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
