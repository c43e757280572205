/* SPDX-License-Identifier: ISC */
/* Who has the ports. */
#include <string.h>

#include "ctl/check.h"
#include "ctl/holder.h"

#define PORT_FINGER 79
#define PORT_USER   7979
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

/* Of the listener: what its units have. */
static unsigned port_of(const struct check *check)
{
	return check->is_user ? PORT_USER : PORT_FINGER;
}

/* Which unit's socket it is cannot be found out; check_units() says so. */
static bool is_systemd_unasked(const struct check *check, const struct holder *holder)
{
	return check->units.is_systemd && check->units.bus == NULL &&
	       strcmp(holder->command, "systemd") == 0;
}

static void add_held(struct check *check, const struct holder *holder)
{
	unsigned port = port_of(check);

	if (holder->pid == 0)
		check_add(check, FINDING_UNKNOWN, "run this as root",
			"port %u: only root can see who listens", port);
	else if (strcmp(holder->command, "nmnotifyd") == 0 || is_super_server(holder->command) ||
		 is_systemd_unasked(check, holder))
		check_add(check, FINDING_OK, NULL, "port %u: %s listens, process %d", port,
			holder->command, (int)holder->pid);
	else
		check_add(check, FINDING_CRITICAL, NULL,
			"port %u: %s has it, process %d: stop it, or have it start nmnotify; then "
			"`%s start nmnotifyd.socket`",
			port, holder->command, (int)holder->pid, check_systemctl(check));
}

/* No socket unit of ours listens, but one is enabled: then nobody else may have the port. */
static void add_taken(struct check *check, const struct holder *holder)
{
	unsigned port = port_of(check);

	if (holder->pid == 0)
		check_add(check, FINDING_CRITICAL, "run this as root to see which",
			"port %u: another program has it", port);
	else
		check_add(check, FINDING_CRITICAL, NULL,
			"port %u: %s has it, process %d: stop it, and run `%s start` for the "
			"socket that is enabled",
			port, holder->command, (int)holder->pid, check_systemctl(check));
}

static void add_nobody(struct check *check)
{
	unsigned port = port_of(check), other = check_redirected(check);
	struct holder holder = { 0 };

	if (other != 0)
		holder = holder_find(HOLDER_TCP, other);
	if (holder.is_held)
		check_add(check, FINDING_OK, NULL,
			"port %u: is redirected to port %u, where %s listens, process %d", port,
			other, holder.command, (int)holder.pid);
	else if (other != 0)
		check_add(check, FINDING_CRITICAL,
			"have its user run `systemctl --user enable --now nmnotifyd.socket`",
			"port %u: is redirected to port %u, where nobody listens", port, other);
	else if (check->units.is_systemd)
		check_add(check, FINDING_CRITICAL, NULL,
			"port %u: nobody listens: run `%s enable --now nmnotifyd.socket`", port,
			check_systemctl(check));
	else
		check_add(check, FINDING_CRITICAL, "have a super-server listen: nmnotify(8)",
			"port %u: nobody listens", port);
}

void check_port(struct check *check)
{
	unsigned port = port_of(check);
	struct holder holder;
	char unit[UNIT_NAME_MAX];
	const char *own;

	if (!check->has_listener || check->is_own_conf)
		return;
	holder = holder_find(HOLDER_TCP, port);
	own = own_active(check);
	if (own != NULL && !unit_listens(&check->units, own, "Stream", port))
		check_add(check, FINDING_OK, NULL, "%s listens, but not on port %u", own, port);
	else if (own != NULL)
		check_add(check, FINDING_OK, NULL, "port %u: %s listens", port, own);
	else if (unit_find_listening(&check->units, "Stream", port, unit))
		check_add(check, FINDING_CRITICAL, NULL,
			"port %u: %s has it: run `%s disable --now` for it, and `%s enable --now "
			"nmnotifyd.socket`",
			port, unit, check_systemctl(check), check_systemctl(check));
	else if (!holder.is_held)
		add_nobody(check);
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
