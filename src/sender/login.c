/* SPDX-License-Identifier: ISC */
/* In the process of nmnotify-login: as who started it; under no filter. */
#include "sender/login.h"

#include <stdlib.h>
#include <string.h>

/* The account and the beginning of the session are of somebody who was let in. Before that anybody
 * could say to be anybody. */
static const char *take_pam(struct login *login)
{
	const char *type = getenv("PAM_TYPE");

	if (type != NULL && strcmp(type, "close_session") == 0)
		return NULL;
	if (type != NULL && strcmp(type, "account") != 0 && strcmp(type, "open_session") != 0)
		return "PAM has not let the user in yet: it belongs to account or session";
	login->user = getenv("PAM_USER");
	login->address = getenv("PAM_RHOST");
	return login->address != NULL ? NULL : "PAM_RHOST, the address, is not set";
}

static const char *take_courier(struct login *login, const char *user)
{
	login->user = user;
	login->address = getenv("TCPREMOTEIP");
	return login->address != NULL ? NULL : "TCPREMOTEIP, the address, is not set";
}

const char *login_of_environment(struct login *login)
{
	const char *authenticated = getenv("AUTHENTICATED");

	*login = (struct login){ .user = NULL };
	if (authenticated == NULL)
		authenticated = getenv("AUTHADDR");
	if (getenv("PAM_SERVICE") != NULL && getenv("PAM_USER") != NULL)
		return take_pam(login);
	if (authenticated != NULL)
		return take_courier(login, authenticated);
	login->user = getenv("USER");
	login->address = getenv("IP");
	if (login->user != NULL && login->address != NULL)
		return NULL;
	return "it is told of no login: neither by -u and -a, nor by PAM, Courier or Dovecot";
}
