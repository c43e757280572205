/* SPDX-License-Identifier: ISC */
/*
 * What a policy's filter answers: computed here, without loading it.
 */
#ifndef NMNOTIFY_FILTER_H
#define NMNOTIFY_FILTER_H

#include <linux/seccomp.h>
#include <stdint.h>

#include "policy/policy.h"

/* The SECCOMP_RET_ value (seccomp(2)) for a call. */
uint32_t filter_answer(const struct policy *policy, const struct seccomp_data *call);

#endif
