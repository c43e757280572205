/* SPDX-License-Identifier: ISC */
/*
 * The environment: a super-server's word for who is at the other end (UCSPI's TCPREMOTEIP and
 * TCPLOCALIP, systemd's REMOTE_ADDR), for where the state is, and for who runs us.
 *
 * Input: lines NAME=value of the variables below.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handler/connection.h"
#include "fuzz.h"
#include "state/state.h"
#include "lib/users.h"

#define LINE_MAX_BYTES 600
#define PATH_MAX_BYTES 256

static const char *const variables[] = { "TCPREMOTEIP", "TCPLOCALIP", "REMOTE_ADDR",
	"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "USER", "HOME", "SHELL" };

static void variables_set(struct input *input)
{
	char line[LINE_MAX_BYTES], *value;

	for (unsigned i = 0; i < COUNT(variables); i++)
		must(unsetenv(variables[i]) == 0);
	while (input->length > 0) {
		take_text(input, '\n', line, sizeof(line));
		value = strchr(line, '=');
		if (value == NULL)
			continue;
		*value++ = '\0';
		for (unsigned i = 0; i < COUNT(variables); i++)
			if (strcmp(line, variables[i]) == 0)
				must(setenv(line, value, 1) == 0);
	}
}

/* What a variable means for an address: its own, or local without it. False: it is wrong. */
static bool wanted_source(const char *text, struct source *source)
{
	size_t length = text != NULL ? strlen(text) : 0;
	char bare[LINE_MAX_BYTES];

	*source = (struct source){ .kind = SOURCE_LOCAL };
	if (text == NULL || length < 2 || text[0] != '[' || text[length - 1] != ']')
		return text == NULL || source_parse(text, source);
	/* Brackets are IPv6's. */
	(void)snprintf(bare, sizeof(bare), "%.*s", (int)length - 2, text + 1);
	return strchr(bare, ':') != NULL && source_parse(bare, source);
}

/* Who is at the other end. systemd has a Unix socket's name there, too. */
static const char *remote_text(void)
{
	const char *remote = getenv("TCPREMOTEIP");

	if (remote == NULL)
		remote = getenv("REMOTE_ADDR");
	return remote != NULL && (*remote == '/' || *remote == '@') ? NULL : remote;
}

static void check_source(const struct source *got, const struct source *wanted)
{
	must(got->kind == wanted->kind && got->scope == wanted->scope);
	must(memcmp(got->address, wanted->address, sizeof(got->address)) == 0);
}

static void check_identity(bool is_socket)
{
	struct connection connection = { .streams.is_socket = is_socket };
	const char *local = getenv("TCPLOCALIP"), *wrong;
	struct source source, to;
	bool good = wanted_source(remote_text(), &source);

	good = wanted_source(local, &to) && good;
	wrong = connection_identify(&connection, true);
	must((wrong == NULL) == good);
	if (!good)
		return;
	check_source(&connection.source, &source);
	check_source(&connection.to, &to);
}

static void check_base_path(void)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
	char buffer[PATH_MAX_BYTES], wanted[2 * LINE_MAX_BYTES];
	const char *path = state_base_path(NULL, buffer, sizeof(buffer));
	bool fits = true;
	struct stat st;

	if (runtime != NULL && *runtime == '/')
		(void)snprintf(wanted, sizeof(wanted), "%s", runtime);
	else if (user != NULL && *user == '/' && geteuid() != 0 &&
		 (lstat("/run/nmnotify", &st) != 0 || st.st_uid != geteuid()))
		(void)snprintf(wanted, sizeof(wanted), "%s/nmnotify", user);
	else
		(void)snprintf(wanted, sizeof(wanted), "/run/nmnotify");
	/* Only what has to be put together needs room. */
	if (strchr(wanted, ':') != NULL || (runtime == NULL || *runtime != '/'))
		fits = strlen(wanted) < sizeof(buffer);
	if (runtime != NULL && *runtime == '/')
		wanted[strcspn(wanted, ":")] = '\0'; /* the first of a list */
	must((path != NULL) == fits);
	must(!fits || strcmp(path, wanted) == 0);
}

static void check_user(void)
{
	static struct user user;

	user_running(&user);
	must(user.uid == getuid() && user.groups_count == 0);
	must(memchr(user.name, '\0', sizeof(user.name)) != NULL);
	must(memchr(user.home, '\0', sizeof(user.home)) != NULL);
	must(memchr(user.shell, '\0', sizeof(user.shell)) != NULL);
}

/* Descriptor 0, where a connection is: now a pipe, now a Unix socket. */
static void input_is(bool is_socket)
{
	static int ends[2][2] = { { -1, -1 }, { -1, -1 } };

	if (ends[0][0] < 0) {
		must(pipe(ends[0]) == 0);
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[1]) == 0);
	}
	must(dup2(ends[is_socket][0], STDIN_FILENO) == STDIN_FILENO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	variables_set(&input);
	for (unsigned is_socket = 0; is_socket < 2; is_socket++) {
		input_is(is_socket);
		check_identity(is_socket);
	}
	check_base_path();
	check_user();
	return 0;
}
