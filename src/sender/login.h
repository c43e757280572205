/* SPDX-License-Identifier: ISC */
/*
 * Who checks mail from where, as the environment says that a mail server leaves to what it runs at
 * a login:
 *
 *     PAM (pam_exec)            PAM_SERVICE, PAM_USER, PAM_RHOST, PAM_TYPE
 *     Courier (loginexec)       AUTHENTICATED or AUTHADDR, TCPREMOTEIP
 *     Dovecot (post-login)      USER, IP
 *
 * In the process of nmnotify-login: as who started it; under no filter.
 */
#ifndef NMNOTIFY_LOGIN_H
#define NMNOTIFY_LOGIN_H

struct login {
	const char *user, *address; /* NULL: nobody has logged in */
};

/* The first of these that is there. NULL, or what is wrong. */
const char *login_of_environment(struct login *login);

#endif
