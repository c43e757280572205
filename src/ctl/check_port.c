/* SPDX-License-Identifier: ISC */
/* Who has the ports. */
#include <string.h>

#include "ctl/check.h"
#include "ctl/holder.h"

#define PORT_FINGER 79
#define PORT_BIFF   512

/* They may start the handler, as their configuration says. */
static const char *const super_servers[] = { "inetd", "xinetd", "tcpserver", "tcpsvd", "socat",
	"stunnel4", "systemd-socket-", "s6-tcpserver4", "s6-tcpserver6", "s6-ipcserver" };

static bool is_super_server(const char *command)
{
	for (unsigned i = 0; i < sizeof(super_servers) / sizeof(super_servers[0]); i++)
		/* The kernel keeps 15 bytes of a name. */
		if (strncmp(super_servers[i], command, 15) == 0)
			return true;
	return false;
}

/* ---- The listener's ---- */

/* The unit of this project that listens; NULL: none does. */
static const char *own_active(const struct check *check)
{
	static const char *const sockets[] = { "nmnotify.socket", "nmnotifyd.socket" };

	for (unsigned i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		if (unit_is_active(&check->units, sockets[i]))
			return sockets[i];
	return NULL;
}

/* Which unit's socket it is cannot be found out; check_units() says so. */
static bool is_systemd_unasked(const struct check *check, const struct holder *holder)
{
	return check->units.is_systemd && check->units.bus == NULL && holder->pid == 1;
}

static void add_held(struct check *check, const struct holder *holder)
{
	if (holder->pid == 0)
		check_add(check, FINDING_UNKNOWN, "run this as root",
			"port 79: only root can see who listens");
	else if (strcmp(holder->command, "nmnotifyd") == 0 || is_super_server(holder->command) ||
		 is_systemd_unasked(check, holder))
		check_add(check, FINDING_OK, NULL, "port 79: %s listens, process %d",
			holder->command, (int)holder->pid);
	else
		check_add(check, FINDING_CRITICAL,
			"stop it, or have it start nmnotify; then `systemctl start "
			"nmnotifyd.socket`",
			"port 79: %s has it, process %d", holder->command, (int)holder->pid);
}

/* No socket unit of ours listens, but one is enabled: then nobody else may have the port. */
static void add_taken(struct check *check, const struct holder *holder)
{
	if (holder->pid == 0)
		check_add(check, FINDING_CRITICAL, "run this as root to see which",
			"port 79: another program has it");
	else
		check_add(check, FINDING_CRITICAL,
			"stop it, and run `systemctl start` for the socket that is enabled",
			"port 79: %s has it, process %d", holder->command, (int)holder->pid);
}

void check_port(struct check *check)
{
	struct holder holder;
	char unit[UNIT_NAME_MAX];
	const char *own;

	if (!check->has_listener || check->is_own_conf)
		return;
	holder = holder_find(HOLDER_TCP, PORT_FINGER);
	own = own_active(check);
	if (own != NULL && !unit_listens(&check->units, own, "Stream", PORT_FINGER))
		check_add(check, FINDING_OK, NULL, "%s listens, but not on port 79", own);
	else if (own != NULL)
		check_add(check, FINDING_OK, NULL, "port 79: %s listens", own);
	else if (unit_find_listening(&check->units, "Stream", PORT_FINGER, unit))
		check_add(check, FINDING_CRITICAL,
			"run `systemctl disable --now` for it, and `systemctl enable --now "
			"nmnotifyd.socket`",
			"port 79: %s has it", unit);
	else if (!holder.is_held)
		check_add(check, FINDING_CRITICAL,
			check->units.is_systemd ? "run `systemctl enable --now nmnotifyd.socket`"
						: "have a super-server listen: nmnotify(8)",
			"port 79: nobody listens");
	else if (unit_is_used(&check->units, "nmnotify.socket") ||
		 unit_is_used(&check->units, "nmnotifyd.socket"))
		add_taken(check, &holder);
	else
		add_held(check, &holder);
}

/* ---- The relay's, of comsat ---- */

/* That its socket is not active, check_units() says; here is why. */

void check_biff(struct check *check)
{
	static const char own[] = "nmnotify-relay-biff.socket";
	static const char remedy[] = "stop and disable it, or this socket; then run `systemctl "
				     "restart nmnotify-relay.socket`";
	struct holder holder;
	char unit[UNIT_NAME_MAX];

	if (!unit_is_used(&check->units, own))
		return;
	holder = holder_find(HOLDER_UDP, PORT_BIFF);
	if (unit_is_active(&check->units, own))
		check_add(check, FINDING_OK, NULL, "biff's port: %s has it", own);
	else if (unit_find_listening(&check->units, "Datagram", PORT_BIFF, unit))
		check_add(check, FINDING_CRITICAL, remedy,
			"biff's port, UDP 512: %s has it, not %s", unit, own);
	else if (holder.pid != 0)
		check_add(check, FINDING_CRITICAL, remedy,
			"biff's port, UDP 512: %s has it, process %d, not %s", holder.command,
			(int)holder.pid, own);
}
