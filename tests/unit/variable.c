/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "conf/variable.h"

static void variable_name_is_letters_digits_and_underscores(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} table[] = {
		{ "A", 1 },
		{ "_", 1 },
		{ "a_Z09", 5 },
		{ "GNUPGHOME=x", 9 },
		{ "A-B", 1 },
		{ "A.B=1", 1 },
		{ "A B", 1 },
		{ "A\xc3\xa4", 1 },
		{ "", 0 },
		{ "=1", 0 },
		{ "1A", 0 },
		{ "9", 0 },
		{ "$A", 0 },
		{ "*", 0 },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		assert_int_equal(variable_name_length(table[i].text), table[i].length);
}

static const char other_end[] = "the other end can have a say in it, as in its name in the DNS: "
				"NMNOTIFY_SOURCE is its address";
static const char loader[] = "the loader or the C library obeys it, whoever set it: if it is "
			     "meant, say it by env";
static const char interpreter[] =
	"an interpreter obeys it, whoever set it: if it is meant, say it by env";
static const char starter[] = "it is about our own process, not about the action";
static const char user[] =
	"it is set from the user's line in /etc/passwd: say another value by env";
static const char programs[] = "it decides which programs run: say it by env";
static const char ours[] = "NMNOTIFY_ is ours to set: the action has it without";

/* Each that a super-server, a wrapper, a loader, an interpreter or systemd knows, by its own manual. */
static void variable_that_is_refused_says_why(void **state)
{
	static const struct {
		const char *reason;
		const char *names[28];
	} table[] = {
		{ other_end,
			{ "TCPREMOTEIP", "TCPREMOTEHOST", "TCPREMOTEINFO", "TCPREMOTEPORT",
				"TCPLOCALIP", "TCPLOCALHOST", "TCP6REMOTEIP", "TCP6LOCALIP",
				"UDPREMOTEIP", "UNIXREMOTEEUID", "UNIXLOCALPATH", "REMOTE_ADDR",
				"REMOTE_HOST", "REMOTE_PORT", "LOCAL_ADDR", "LOCAL_PORT",
				"SOCAT_PEERADDR", "NCAT_REMOTE_ADDR", "SSL_CLIENT_DN",
				"SSL_CLIENT_CERT", "TLS_SNI_SERVERNAME", "TLSCLIENT" } },
		{ loader,
			{ "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES",
				"GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN",
				"LOCPATH", "MALLOC_TRACE", "MALLOC_PERTURB_", "NIS_PATH", "NLSPATH",
				"RESOLV_HOST_CONF", "RES_OPTIONS" } },
		{ interpreter,
			{ "IFS", "ENV", "PS4", "SHELLOPTS", "PROMPT_COMMAND", "BASH_ENV",
				"BASHOPTS", "BASH_FUNC_x", "ZDOTDIR", "PERL5OPT", "PERL5LIB",
				"PERLLIB", "PYTHONPATH", "PYTHONSTARTUP", "RUBYOPT", "RUBYLIB",
				"GEM_HOME", "LUA_INIT", "LUA_PATH", "NODE_OPTIONS",
				"JAVA_TOOL_OPTIONS" } },
		{ starter,
			{ "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
				"WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID", "MANAGERPID",
				"SYSTEMD_EXEC_PID", "JOURNAL_STREAM", "FDSTORE" } },
		{ user, { "HOME", "USER", "LOGNAME", "SHELL" } },
		{ programs, { "PATH" } },
		{ ours, { "NMNOTIFY_SOURCE", "NMNOTIFY_ACCOUNT", "NMNOTIFY_" } },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(table); i++)
		for (const char *const *name = table[i].names; *name != NULL; name++) {
			const char *refusal = variable_refusal(*name);

			if (refusal == NULL || strcmp(refusal, table[i].reason) != 0)
				fail_msg("%s: %s", *name, refusal == NULL ? "taken" : refusal);
		}
}

/* A name is not refused for one that begins, or ends, as it does. */
static void variable_that_is_meant_is_taken(void **state)
{
	static const char *const names[] = { "GNUPGHOME", "CREDENTIALS_DIRECTORY", "TZ", "LANG",
		"LC_ALL", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK", "MAILDIR",
		"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "INVOCATION_ID", "IFSX", "ENVIRONMENT",
		"ENV_FILE", "PATHS", "PATH_INFO", "HOMEDIR", "USERNAME", "USER_AGENT", "SHELLS", "PS",
		"PS1", "LD", "LDAPCONF", "TCP", "TCPREMOT", "REMOTE", "REMOTEHOST", "NMNOTIFY",
		"XNMNOTIFY_SOURCE", "MY_PATH", "listen_fds", "path", "LISTEN", "FDSTOREX",
		"MAINPIDS", "GCONV_PATHS", "SSL", "SSLKEYLOGFILE", "_", "" };

	(void)state;
	for (unsigned i = 0; i < COUNT(names); i++)
		if (variable_refusal(names[i]) != NULL)
			fail_msg("%s: %s", names[i], variable_refusal(names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variable_name_is_letters_digits_and_underscores),
		cmocka_unit_test(variable_that_is_refused_says_why),
		cmocka_unit_test(variable_that_is_meant_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
