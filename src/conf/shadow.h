/* SPDX-License-Identifier: ISC */
/*
 * Accounts, and words of `from` and `to`, that no connection reaches, because an earlier account
 * takes all that they could. Only for -t: what is chosen is chosen by conf_account().
 */
#ifndef NMNOTIFY_SHADOW_H
#define NMNOTIFY_SHADOW_H

#include "conf/conf.h"

/* Reports a warning for each. For a configuration that was read with `advises`, whole and without a
 * mistake. Each word is compared with single words: one that only several together take is not
 * found. */
void shadow_check(struct conf *conf);

#endif
