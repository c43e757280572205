/* SPDX-License-Identifier: ISC */
#include "conf/variable.h"

#include <string.h>

#include "lib/text.h"

enum reason { OTHER_END, LOADER, INTERPRETER, STARTER, USER, PROGRAMS, OURS };

size_t variable_name_length(const char *text)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return is_digit(*text) ? 0 : strspn(text, good);
}

const char *variable_refusal(const char *name)
{
	/* A name that ends in '*' is all that begin so. */
	static const char *const reasons[] = {
		[OTHER_END] = "the other end can have a say in it, as in its name in the DNS: "
			      "NMNOTIFY_SOURCE is its address",
		[LOADER] =
			"the loader or the C library obeys it, whoever set it: if it is meant, say "
			"it by env",
		[INTERPRETER] =
			"an interpreter obeys it, whoever set it: if it is meant, say it by env",
		[STARTER] = "it is about our own process, not about the action",
		[USER] = "it is set from the user's line in /etc/passwd: say another value by env",
		[PROGRAMS] = "it decides which programs run: say it by env",
		[OURS] = "NMNOTIFY_ is ours to set: the action has it without",
	};
	/* No pointers: each would have to be relocated at every start. */
	static const struct {
		char name[20];
		unsigned char reason;
	} refused[] = {
		/* UCSPI's and its kin's, systemd's and xinetd's, and what wrappers make of a
		 * client's certificate. */
		{ "TCPREMOTE*", OTHER_END },
		{ "TCPLOCAL*", OTHER_END },
		{ "TCP6*", OTHER_END },
		{ "UDPREMOTE*", OTHER_END },
		{ "UNIXREMOTE*", OTHER_END },
		{ "UNIXLOCAL*", OTHER_END },
		{ "REMOTE_*", OTHER_END },
		{ "LOCAL_ADDR", OTHER_END },
		{ "LOCAL_PORT", OTHER_END },
		{ "SOCAT_*", OTHER_END },
		{ "NCAT_*", OTHER_END },
		{ "SSL_*", OTHER_END },
		{ "TLS*", OTHER_END },
		/* ld.so(8); what it keeps from set-user-ID programs, and the C library with it. */
		{ "LD_*", LOADER },
		{ "GLIBC_TUNABLES", LOADER },
		{ "GCONV_PATH", LOADER },
		{ "GETCONF_DIR", LOADER },
		{ "HOSTALIASES", LOADER },
		{ "LOCALDOMAIN", LOADER },
		{ "LOCPATH", LOADER },
		{ "MALLOC_*", LOADER },
		{ "NIS_PATH", LOADER },
		{ "NLSPATH", LOADER },
		{ "RESOLV_HOST_CONF", LOADER },
		{ "RES_OPTIONS", LOADER },
		/* Code, or where to look for it, before a script's first line. */
		{ "IFS", INTERPRETER },
		{ "ENV", INTERPRETER },
		{ "PS4", INTERPRETER },
		{ "SHELLOPTS", INTERPRETER },
		{ "PROMPT_COMMAND", INTERPRETER },
		{ "BASH*", INTERPRETER },
		{ "ZDOTDIR", INTERPRETER },
		{ "PERL*", INTERPRETER },
		{ "PYTHON*", INTERPRETER },
		{ "RUBY*", INTERPRETER },
		{ "GEM_*", INTERPRETER },
		{ "LUA_*", INTERPRETER },
		{ "NODE_*", INTERPRETER },
		{ "JAVA_TOOL_OPTIONS", INTERPRETER },
		/* systemd's protocols with the process that it started. */
		{ "LISTEN_*", STARTER },
		{ "NOTIFY_SOCKET", STARTER },
		{ "WATCHDOG_*", STARTER },
		{ "MAINPID", STARTER },
		{ "MANAGERPID", STARTER },
		{ "SYSTEMD_EXEC_PID", STARTER },
		{ "JOURNAL_STREAM", STARTER },
		{ "FDSTORE", STARTER },
		/* Ours. Where root starts us, these are root's. */
		{ "PATH", PROGRAMS },
		{ "HOME", USER },
		{ "USER", USER },
		{ "LOGNAME", USER },
		{ "SHELL", USER },
		{ "NMNOTIFY_*", OURS },
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const char *one = refused[i].name;
		size_t length = strcspn(one, "*");

		/* Without '*' the NUL counts, too. */
		if (strncmp(name, one, length + (one[length] == '\0')) == 0)
			return reasons[refused[i].reason];
	}
	return NULL;
}
