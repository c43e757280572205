/* SPDX-License-Identifier: ISC */
/*
 * Finds accounts, and words of `from` and `to`, that no connection reaches, because an earlier
 * account takes all of theirs. Only for -t: it is conf_account() that chooses an account.
 */
#ifndef NMNOTIFY_SHADOW_H
#define NMNOTIFY_SHADOW_H

#include "conf/conf.h"

/* Reports a warning for each. The configuration must be whole, without a mistake, and read with
 * `advises`. Each word is compared with one other word at a time: one that only several others
 * together take is not found. */
void shadow_check(struct conf *conf);

#endif
