/* SPDX-License-Identifier: ISC */
/*
 * The name of a user who has mail, as both ends of a notice take it.
 */
#ifndef NMNOTIFY_USER_NAME_H
#define NMNOTIFY_USER_NAME_H

#include <stddef.h>

/* RFC 5321, 4.5.3.1.3: a path of 256 bytes with its two brackets. */
#define USER_NAME_MAX 254

/* The same for messages. */
#define USER_NAME_MAX_TEXT      USER_NAME_TEXT(USER_NAME_MAX)
#define USER_NAME_TEXT(number)  USER_NAME_TEXT_(number)
#define USER_NAME_TEXT_(number) #number

/* NULL, or what is wrong with it. */
const char *user_name_wrong(const char *bytes, size_t length);

#endif
