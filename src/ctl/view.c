/* SPDX-License-Identifier: ISC */
#include "ctl/view.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/text.h"

#define SYSTEMD      "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER      "org.freedesktop.systemd1.Manager"
#define PROPERTIES   "org.freedesktop.DBus.Properties"

/* A machine may be busy with its boot. systemd ends it first; then it is known that it has ended.
 */
#define MOST_MICROS (UINT64_C(20) * 1000 * 1000)
static const struct span patience = { .ms = 60000 };
#define LOOK_MS        20
#define SAID_BYTES_MAX 65536

/* What makes up the view: whose it is, and what systemd mounts and makes for it. What a version of
 * systemd does not have is not there to be copied. */
static const char *const copied[] = { "AmbientCapabilities", "BindPaths", "BindReadOnlyPaths",
	"CapabilityBoundingSet", "DynamicUser", "Environment", "ExecPaths", "Group",
	"InaccessiblePaths", "MountAPIVFS", "NoExecPaths", "NoNewPrivileges", "PrivateDevices",
	"PrivateIPC", "PrivateMounts", "PrivateTmp", "PrivateUsers", "ProcSubset",
	"ProtectControlGroups", "ProtectHome", "ProtectKernelLogs", "ProtectKernelModules",
	"ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadOnlyPaths", "ReadWritePaths",
	"RootDirectory", "RootImage", "RuntimeDirectory", "RuntimeDirectoryMode",
	"RuntimeDirectoryPreserve", "StateDirectory", "StateDirectoryMode", "SupplementaryGroups",
	"TemporaryFileSystem", "UMask", "User" };

static bool is_copied(const char *name)
{
	for (unsigned i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		if (strcmp(copied[i], name) == 0)
			return true;
	return false;
}

/* ---- The transient unit ---- */

/* An array, from where `from` is, in front of its variant. An empty one is what it is anyway; and
 * with an empty BindReadOnlyPaths= systemd would forget BindPaths=, too. False: it cannot be read
 * or written. */
static bool copy_array(sd_bus_message *to, sd_bus_message *from, const char *name, const char *type)
{
	bool is_copied_whole = true;

	if (sd_bus_message_enter_container(from, 'v', type) < 0 ||
		sd_bus_message_enter_container(from, 'a', type + 1) < 0)
		return false;
	if (sd_bus_message_at_end(from, 0) == 0)
		is_copied_whole = sd_bus_message_open_container(to, 'r', "sv") >= 0 &&
				  sd_bus_message_append(to, "s", name) >= 0 &&
				  sd_bus_message_open_container(to, 'v', type) >= 0 &&
				  sd_bus_message_open_container(to, 'a', type + 1) >= 0 &&
				  sd_bus_message_copy(to, from, 1) >= 0 &&
				  sd_bus_message_close_container(to) >= 0 && /* the array */
				  sd_bus_message_close_container(to) >= 0 && /* the variant */
				  sd_bus_message_close_container(to) >= 0;
	return is_copied_whole && sd_bus_message_exit_container(from) >= 0 &&
	       sd_bus_message_exit_container(from) >= 0;
}

/* Any property; an empty string is what it is anyway, too. */
static bool copy_property(sd_bus_message *to, sd_bus_message *from, const char *name)
{
	const char *type, *value;
	char kind;

	if (sd_bus_message_peek_type(from, &kind, &type) < 0)
		return false;
	if (*type == 'a')
		return copy_array(to, from, name, type);
	if (strcmp(type, "s") == 0)
		return sd_bus_message_read(from, "v", "s", &value) >= 0 &&
		       (*value == '\0' || sd_bus_message_append(to, "(sv)", name, "s", value) >= 0);
	return sd_bus_message_open_container(to, 'r', "sv") >= 0 &&
	       sd_bus_message_append(to, "s", name) >= 0 && sd_bus_message_copy(to, from, 1) >= 0 &&
	       sd_bus_message_close_container(to) >= 0;
}

static bool copy_properties(sd_bus_message *to, sd_bus_message *from)
{
	const char *name;

	if (sd_bus_message_enter_container(from, 'a', "{sv}") < 0)
		return false;
	while (sd_bus_message_enter_container(from, 'e', "sv") > 0) {
		if (sd_bus_message_read(from, "s", &name) < 0 ||
			!(is_copied(name) ? copy_property(to, from, name)
					  : sd_bus_message_skip(from, "v") >= 0) ||
			sd_bus_message_exit_container(from) < 0)
			return false;
	}
	return true;
}

/* ExecStart=, with one word more. */
static bool add_command(sd_bus_message *to, sd_bus_message *from, const char *option)
{
	const char *program, *word;

	if (sd_bus_message_enter_container(from, 'a', "(sasbttttuii)") < 0 ||
		sd_bus_message_enter_container(from, 'r', "sasbttttuii") <= 0 ||
		sd_bus_message_read(from, "s", &program) < 0 ||
		sd_bus_message_enter_container(from, 'a', "s") < 0 ||
		sd_bus_message_open_container(to, 'r', "sv") < 0 ||
		sd_bus_message_append(to, "s", "ExecStart") < 0 ||
		sd_bus_message_open_container(to, 'v', "a(sasb)") < 0 ||
		sd_bus_message_open_container(to, 'a', "(sasb)") < 0 ||
		sd_bus_message_open_container(to, 'r', "sasb") < 0 ||
		sd_bus_message_append(to, "s", program) < 0 ||
		sd_bus_message_open_container(to, 'a', "s") < 0)
		return false;
	while (sd_bus_message_read(from, "s", &word) > 0)
		if (sd_bus_message_append(to, "s", word) < 0)
			return false;
	return sd_bus_message_append(to, "s", option) >= 0 &&
	       sd_bus_message_close_container(to) >= 0 && /* the words */
	       sd_bus_message_append(to, "b", 0) >= 0 &&
	       sd_bus_message_close_container(to) >= 0 && /* the command */
	       sd_bus_message_close_container(to) >= 0 && /* the commands */
	       sd_bus_message_close_container(to) >= 0 && /* the variant */
	       sd_bus_message_close_container(to) >= 0;
}

/* What is ours: it is gone when it has been looked at, systemd says nothing of its start, and what
 * the program says comes here. */
static bool add_own(sd_bus_message *to, int said)
{
	return sd_bus_message_append(to, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s",
		       "nmnotifyctl check", "Type", "s", "oneshot", "AddRef", "b", 1, "CollectMode",
		       "s", "inactive-or-failed", "TimeoutStartUSec", "t", MOST_MICROS,
		       "LogLevelMax", "i", 4, "StandardErrorFileDescriptor", "h", said) >= 0 &&
	       sd_bus_message_append(to, "(sv)", "StandardOutput", "s", "null") >= 0;
}

struct parts {
	sd_bus_message *properties, *command, *call;
};

static bool build(
	sd_bus *bus, struct parts *parts, const char *service, const char *name, const char *option)
{
	char *path = unit_path(service);
	bool is_read = path != NULL &&
		       sd_bus_call_method(bus, SYSTEMD, path, PROPERTIES, "GetAll", NULL,
			       &parts->properties, "s", UNIT_SERVICE) >= 0 &&
		       sd_bus_get_property(bus, SYSTEMD, path, UNIT_SERVICE, "ExecStart", NULL,
			       &parts->command, "a(sasbttttuii)") >= 0;

	free(path);
	return is_read &&
	       sd_bus_message_new_method_call(bus, &parts->call, SYSTEMD, MANAGER_PATH, MANAGER,
		       "StartTransientUnit") >= 0 &&
	       sd_bus_message_append(parts->call, "ss", name, "fail") >= 0 &&
	       sd_bus_message_open_container(parts->call, 'a', "(sv)") >= 0 &&
	       copy_properties(parts->call, parts->properties) &&
	       add_command(parts->call, parts->command, option);
}

/* False: why not was said. */
static bool start(sd_bus *bus, struct view *view, const char *service, const char *name,
	const char *option, int said)
{
	struct parts parts = { .call = NULL };
	struct text wrong = TEXT_IN(view->wrong);
	sd_bus_error error = SD_BUS_ERROR_NULL;
	bool is_built = build(bus, &parts, service, name, option) && add_own(parts.call, said) &&
			sd_bus_message_close_container(parts.call) >= 0 &&
			sd_bus_message_append(parts.call, "a(sa(sv))", 0) >= 0;

	if (!is_built)
		text_add(&wrong, "its settings cannot be read");
	else if (sd_bus_call(bus, parts.call, 0, &error, NULL) < 0)
		text_add(&wrong, "%s", error.message != NULL ? error.message : "no answer");
	sd_bus_error_free(&error);
	(void)sd_bus_message_unref(parts.call);
	(void)sd_bus_message_unref(parts.command);
	(void)sd_bus_message_unref(parts.properties);
	return wrong.length == 0;
}

/* ---- Its end ---- */

static bool has_ended(const struct units *units, const char *path, const char *name)
{
	sd_bus_message *reply = NULL;
	uint32_t job = 1;

	if (sd_bus_get_property(units->bus, SYSTEMD, path, UNIT_ANY, "Job", NULL, &reply, "(uo)") <
			0 ||
		sd_bus_message_read(reply, "(uo)", &job, NULL) < 0)
		job = 1;
	(void)sd_bus_message_unref(reply);
	return job == 0 && (unit_is(units, name, "ActiveState", "inactive") ||
				   unit_is(units, name, "ActiveState", "failed"));
}

/* What has come so far. The pipe's end is no sign: systemd has it, too. */
static void drain(int said, struct text *to)
{
	char bytes[4096];
	ssize_t got;

	while ((got = read(said, bytes, sizeof(bytes) - 1)) > 0) {
		bytes[got] = '\0';
		text_add(to, "%s", bytes);
	}
}

static void await_end(
	const struct units *units, struct view *view, const char *name, int said, struct text *to)
{
	struct text wrong = TEXT_IN(view->wrong);
	struct deadline deadline = deadline_in(patience);
	char *path = unit_path(name);
	bool is_over = path == NULL;
	char result[32];
	int32_t status = 0;

	while (!is_over && deadline_rest(deadline).ms != 0) {
		drain(said, to);
		is_over = has_ended(units, path, name);
		if (!is_over)
			(void)poll(NULL, 0, LOOK_MS);
	}
	drain(said, to);
	unit_text(units, name, UNIT_SERVICE, "Result", result, sizeof(result));
	if (!is_over || strcmp(result, "timeout") == 0)
		text_add(&wrong, "it does not end");
	else if (path == NULL || sd_bus_get_property_trivial(units->bus, SYSTEMD, path,
					 UNIT_SERVICE, "ExecMainStatus", NULL, 'i', &status) < 0)
		text_add(&wrong, "how it has ended cannot be read");
	view->status = status;
	free(path);
}

static void run(const struct units *units, const char *service, const char *option,
	struct view *view, const int ends[2])
{
	struct text to = { .bytes = view->said, .size = SAID_BYTES_MAX };
	char name[64];
	struct text text = TEXT_IN(name);

	text_add(&to, "%s", "");
	text_add(&text, "nmnotify-check-%d.service", (int)getpid());
	if (start(units->bus, view, service, name, option, ends[1]))
		await_end(units, view, name, ends[0], &to);
}

void view_run(const struct units *units, const char *service, const char *option, struct view *view)
{
	struct text wrong = TEXT_IN(view->wrong);
	int ends[2] = { -1, -1 };

	*view = (struct view){ .said = malloc(SAID_BYTES_MAX) };
	text_add(&wrong, "%s", "");
	if (view->said == NULL || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		text_add(&wrong, "%s", strerror(errno));
	else
		run(units, service, option, view, ends);
	fd_close_if_open(ends[0]);
	fd_close_if_open(ends[1]);
}
