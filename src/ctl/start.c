/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* The handler does it: whatever starts an action, it is one program, confined in one way. */
int ctl_start(struct ctl *ctl, int argc, char **argv)
{
	if (argc != 1)
		return ctl_fail_usage(ctl, "needs an account");
	if (!ctl_read_conf(ctl))
		return EX_CONFIG;
	if (ctl_account(ctl, argv[0]) == NULL)
		return EX_USAGE;
	(void)execl(ctl->handler, "nmnotify", "-f", ctl->conf_file, "-s", argv[0], (char *)NULL);
	return ctl_fail(
		ctl, EX_UNAVAILABLE, "%s: %s; install the listener", ctl->handler, strerror(errno));
}
