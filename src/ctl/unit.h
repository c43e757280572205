/* SPDX-License-Identifier: ISC */
/* What systemd says of its units, by D-Bus: org.freedesktop.systemd1(5). */
#ifndef NMNOTIFY_CTL_UNIT_H
#define NMNOTIFY_CTL_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

#define UNIT_NAME_MAX 256

struct units {
	bool is_systemd; /* it is the machine's first process */
	sd_bus *bus;     /* NULL: it is not, or does not answer */
};

/* Of the system, or of the user's own systemd. `units` must be all zeros. */
void units_open(struct units *units, bool is_user);
void units_close(struct units *units);

/* Interfaces of units. */
#define UNIT_ANY     "org.freedesktop.systemd1.Unit"
#define UNIT_SERVICE "org.freedesktop.systemd1.Service"
#define UNIT_SOCKET  "org.freedesktop.systemd1.Socket"

/* The path of a unit on the bus, for free(); NULL without memory. The unit is loaded when its path
 * is used. */
char *unit_path(const char *unit);

/* Is a property, a string, this one? And is one, a boolean, true? */
bool unit_is(const struct units *units, const char *unit, const char *property, const char *wanted);
bool unit_has(
	const struct units *units, const char *unit, const char *interface, const char *property);

/* A property that is a string; "" if it cannot be read. */
void unit_text(const struct units *units, const char *unit, const char *interface,
	const char *property, char *text, size_t size);

bool unit_is_enabled(const struct units *units, const char *unit);
bool unit_is_active(const struct units *units, const char *unit);

/* Either of them. */
bool unit_is_used(const struct units *units, const char *unit);

/* Does a socket unit say this kind ("Stream" or "Datagram") and this port? */
bool unit_listens(const struct units *units, const char *unit, const char *kind, unsigned port);

/* The active socket unit that has the port. False: none has. */
bool unit_find_listening(const struct units *units, const char *kind, unsigned port,
	char name[static UNIT_NAME_MAX]);

#endif
