/* SPDX-License-Identifier: ISC */
/* Units that are at odds, and what they need of the kernel. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/check.h"
#include "lib/users.h"

/* A finding about a unit: what, and the command that mends it, with the unit it names. */
static void add_about(struct check *check, enum finding finding, const char *unit, const char *what,
	const char *command, const char *other)
{
	char *remedy = NULL;

	if (asprintf(&remedy, "run `%s %s %s`", check_systemctl(check), command, other) < 0)
		remedy = NULL;
	check_add(check, finding, remedy, "%s %s", unit, what);
	free(remedy);
}

/* `first`: the socket that starts it, since systemd starts none of a service that runs. */
static void check_socket(struct check *check, const char *socket, const char *first)
{
	bool is_active = unit_is_active(&check->units, socket);
	bool is_enabled = unit_is_enabled(&check->units, socket);

	if (unit_is(&check->units, socket, "ActiveState", "failed"))
		add_about(check, FINDING_CRITICAL, socket,
			"has failed (`systemctl status` says why)", "restart", first);
	else if (is_enabled && !is_active)
		add_about(check, FINDING_CRITICAL, socket, "is enabled, and not active", "restart",
			first);
	else if (is_active && !is_enabled)
		add_about(check, FINDING_WARNING, socket, "is not there after the next boot",
			"enable", socket);
	else if (is_active)
		check_add(check, FINDING_OK, NULL, "%s is enabled, and active", socket);
}

static void check_loaded(struct check *check, const char *unit)
{
	if (unit_has(&check->units, unit, UNIT_ANY, "NeedDaemonReload"))
		check_add(check, FINDING_WARNING, NULL,
			"%s: its files were changed after systemd had read them: run `%s "
			"daemon-reload`, and restart it",
			unit, check_systemctl(check));
}

static void check_listener_pair(struct check *check)
{
	static const char *const fingers[] = { "finger.socket", "fingerd.socket" };

	if (unit_is_enabled(&check->units, "nmnotify.socket") &&
		unit_is_enabled(&check->units, "nmnotifyd.socket"))
		check_add(check, FINDING_WARNING, NULL,
			"nmnotify.socket and nmnotifyd.socket are both enabled, and which gets the "
			"port at boot is not said: run `%s disable` for one of them",
			check_systemctl(check));
	for (unsigned i = 0; i < sizeof(fingers) / sizeof(fingers[0]); i++)
		if (unit_is_enabled(&check->units, fingers[i]))
			add_about(check, FINDING_WARNING, fingers[i],
				"is enabled, too, and wants the same port", "disable --now",
				fingers[i]);
}

/* Without it the user's systemd ends with his last session. */
static void check_lingering(struct check *check)
{
	struct user user = { 0 };
	char *path = NULL;

	user_running(&user);
	if (asprintf(&path, "/var/lib/systemd/linger/%s", user.name) < 0)
		return;
	if (access(path, F_OK) != 0)
		check_add(check, FINDING_WARNING, "run `loginctl enable-linger`",
			"user %s does not linger: nobody listens before his first login, and after "
			"the last",
			user.name);
	free(path);
}

void check_units(struct check *check)
{
	static const char *const listener[] = { "nmnotify.socket", "nmnotifyd.socket" };
	static const char *const relay[] = { "nmnotify-relay.socket", "nmnotify-relay-biff.socket",
		"nmnotify-relay-cyrus.socket", "nmnotify-relay-status.socket" };
	static const char *const services[] = { "nmnotify@check.service", "nmnotifyd.service" };

	if (check->units.is_systemd && check->units.bus == NULL)
		check_add(check, FINDING_UNKNOWN,
			check->is_user ? "run `loginctl enable-linger`"
				       : "run `systemctl start dbus.socket`",
			"systemd's units cannot be looked at: %s",
			check->is_user ? "the user's own one does not run"
				       : "no message bus answers");
	if (check->is_own_conf)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (!unit_is_used(&check->units, listener[i]))
			continue;
		check_socket(check, listener[i], listener[i]);
		check_loaded(check, listener[i]);
		check_loaded(check, services[i]);
	}
	if (check->has_listener)
		check_listener_pair(check);
	if (check->is_user)
		check_lingering(check);
	for (unsigned i = 0; i < sizeof(relay) / sizeof(relay[0]); i++)
		if (check->has_relay && unit_is_used(&check->units, relay[i])) {
			check_socket(check, relay[i], relay[0]);
			check_loaded(check, relay[i]);
		}
	if (check->has_relay)
		check_loaded(check, "nmnotify-relay.service");
	if (check->has_relay &&
		unit_is(&check->units, "nmnotify-relay.service", "UnitFileState", "disabled"))
		add_about(check, FINDING_WARNING, "nmnotify-relay.service",
			"is not started at boot, so what is owed waits for the next mail", "enable",
			"nmnotify-relay.service");
}

/* ---- User namespaces ---- */

/* As the kernel writes it: "0\n" if there may be none. False: the kernel has none. */
static bool may_have_namespaces(void)
{
	char line[32] = "";
	FILE *stream = fopen("/proc/sys/user/max_user_namespaces", "re");

	if (stream == NULL)
		return false;
	if (fgets(line, sizeof(line), stream) == NULL)
		line[0] = '\0';
	(void)fclose(stream); /* opened for reading: nothing can be lost */
	return strcmp(line, "0\n") != 0;
}

void check_namespaces(struct check *check)
{
	static const char *const units[][2] = {
		{ "nmnotify.socket", "nmnotify@check.service" },
		{ "nmnotifyd.socket", "nmnotifyd.service" },
		{ "nmnotify-relay.socket", "nmnotify-relay.service" },
		{ "nmnotify-relay-logs.service", "nmnotify-relay-logs.service" },
	};

	if (check->is_own_conf)
		return;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!unit_is_used(&check->units, units[i][0]) ||
			!unit_has(&check->units, units[i][1], UNIT_SERVICE, "PrivateUsers"))
			continue;
		if (may_have_namespaces())
			check_add(check, FINDING_OK, NULL,
				"%s: PrivateUsers= can be had from this kernel", units[i][1]);
		else
			check_add(check, FINDING_CRITICAL,
				"run `sysctl user.max_user_namespaces=1000`, or say "
				"PrivateUsers=no in a drop-in",
				"%s: has PrivateUsers=, and this kernel allows no user namespaces",
				units[i][1]);
	}
}
