/* SPDX-License-Identifier: ISC */
/*
 * What the resolver gives up before it reads a byte of the network.
 *
 * In the resolver: as the relay's user, under the relay's filter.
 */
#ifndef NMNOTIFY_RESOLVER_CONFINE_H
#define NMNOTIFY_RESOLVER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * For good: all capabilities; files, and TCP to any but these ports, where the kernel has Landlock
 * for them (Linux 5.13, 6.7); memory beyond a bound; and every system call that resolver.policy
 * does not name. False with errno set: then nothing may be looked up.
 */
bool resolver_confine(const uint16_t *tcp_ports, unsigned count);

#endif
