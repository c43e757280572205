/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* The handler does it: whatever starts an action, it is one program, confined in one way. */
int ctl_start(struct ctl *ctl, int argc, char **argv)
{
	const struct account *account;
	int status = ctl_take_account(ctl, argc, argv, &account);

	if (status != EX_OK)
		return status;
	(void)execl(
		ctl->handler, "nmnotify", "-f", ctl->conf_file, "-bs", account->name, (char *)NULL);
	return ctl_fail(ctl, EX_UNAVAILABLE,
		"%s: %s; install the listener, or say where it is by -p", ctl->handler,
		strerror(errno));
}
