/* SPDX-License-Identifier: ISC */
/*
 * Where static variables are. Each page that is touched costs a fault, and most of nmnotify's
 * starts touch little: the linker sorts by these names (LAYOUT in the Makefile), so that what is
 * small comes first, then the one large structure that every start begins to fill, then the rest.
 */
#ifndef NMNOTIFY_LAYOUT_H
#define NMNOTIFY_LAYOUT_H

#define LAYOUT_BEHIND_SMALL __attribute__((section(".bss.~1")))
#define LAYOUT_LAST         __attribute__((section(".bss.~2")))

#endif
