/* SPDX-License-Identifier: ISC */
#include "ctl/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"

#define SYSTEMD         "org.freedesktop.systemd1"
#define MANAGER_PATH    "/org/freedesktop/systemd1"
#define MANAGER         "org.freedesktop.systemd1.Manager"
#define PATIENCE_MICROS (UINT64_C(10) * 1000 * 1000)

/* The user's systemd itself, as systemctl(1) asks it: a session bus needs not be there. */
static int open_user(sd_bus **bus)
{
	char address[128];
	struct text text = TEXT_IN(address);
	int status = sd_bus_new(bus);

	if (status < 0)
		return status;
	text_add(&text, "unix:path=/run/user/%u/systemd/private", (unsigned)geteuid());
	status = sd_bus_set_address(*bus, address);
	if (status >= 0)
		status = sd_bus_start(*bus);
	if (status < 0)
		*bus = sd_bus_unref(*bus);
	return status;
}

void units_open(struct units *units, bool is_user)
{
	units->is_systemd = access("/run/systemd/system", F_OK) == 0;
	if (!units->is_systemd)
		return;
	if ((is_user ? open_user(&units->bus) : sd_bus_open_system(&units->bus)) < 0)
		units->bus = NULL;
	else
		(void)sd_bus_set_method_call_timeout(units->bus, PATIENCE_MICROS);
}

void units_close(struct units *units)
{
	units->bus = sd_bus_flush_close_unref(units->bus);
}

char *unit_path(const char *unit)
{
	char *path = NULL;

	return sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path) < 0 ? NULL : path;
}

void unit_text(const struct units *units, const char *unit, const char *interface,
	const char *property, char *text, size_t size)
{
	char *path = unit_path(unit), *found = NULL;
	struct text to = { .bytes = text, .size = size };

	text_add(&to, "%s", "");
	if (units->bus != NULL && path != NULL &&
		sd_bus_get_property_string(
			units->bus, SYSTEMD, path, interface, property, NULL, &found) >= 0)
		text_add(&to, "%s", found);
	free(found);
	free(path);
}

bool unit_is(const struct units *units, const char *unit, const char *property, const char *wanted)
{
	char text[64];

	unit_text(units, unit, UNIT_ANY, property, text, sizeof(text));
	return strcmp(text, wanted) == 0;
}

bool unit_has(
	const struct units *units, const char *unit, const char *interface, const char *property)
{
	char *path = unit_path(unit);
	int value = 0;

	if (units->bus == NULL || path == NULL ||
		sd_bus_get_property_trivial(
			units->bus, SYSTEMD, path, interface, property, NULL, 'b', &value) < 0)
		value = 0;
	free(path);
	return value != 0;
}

bool unit_is_enabled(const struct units *units, const char *unit)
{
	return unit_is(units, unit, "UnitFileState", "enabled");
}

bool unit_is_active(const struct units *units, const char *unit)
{
	return unit_is(units, unit, "ActiveState", "active");
}

bool unit_is_used(const struct units *units, const char *unit)
{
	return unit_is_enabled(units, unit) || unit_is_active(units, unit);
}

static bool says_port(const char *address, unsigned port)
{
	const char *colon = strrchr(address, ':');
	uint64_t number;

	return number_parse(colon != NULL ? colon + 1 : address, UINT16_MAX, &number) &&
	       number == port;
}

bool unit_listens(const struct units *units, const char *unit, const char *kind, unsigned port)
{
	char *path = unit_path(unit);
	sd_bus_message *reply = NULL;
	const char *one, *address;
	bool does = false;

	if (units->bus != NULL && path != NULL &&
		sd_bus_get_property(units->bus, SYSTEMD, path, UNIT_SOCKET, "Listen", NULL, &reply,
			"a(ss)") >= 0 &&
		sd_bus_message_enter_container(reply, 'a', "(ss)") > 0)
		while (!does && sd_bus_message_read(reply, "(ss)", &one, &address) > 0)
			does = strcmp(one, kind) == 0 && says_port(address, port);
	(void)sd_bus_message_unref(reply);
	free(path);
	return does;
}

static sd_bus_message *list_active_sockets(const struct units *units)
{
	sd_bus_message *reply = NULL;

	if (units->bus == NULL || sd_bus_call_method(units->bus, SYSTEMD, MANAGER_PATH, MANAGER,
					  "ListUnitsByPatterns", NULL, &reply, "asas", 1, "active",
					  1, "*.socket") < 0)
		return NULL;
	return reply;
}

bool unit_find_listening(
	const struct units *units, const char *kind, unsigned port, char name[static UNIT_NAME_MAX])
{
	sd_bus_message *list = list_active_sockets(units);
	struct text text = { .bytes = name, .size = UNIT_NAME_MAX };
	const char *unit;
	bool found = false;

	if (list != NULL && sd_bus_message_enter_container(list, 'a', "(ssssssouso)") > 0)
		while (!found && sd_bus_message_read(list, "(ssssssouso)", &unit, NULL, NULL, NULL,
					 NULL, NULL, NULL, NULL, NULL, NULL) > 0)
			found = unit_listens(units, unit, kind, port);
	if (found)
		text_add(&text, "%s", unit);
	(void)sd_bus_message_unref(list);
	return found;
}
