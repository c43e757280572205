/* SPDX-License-Identifier: ISC */
#include "ctl/filter.h"

#include <string.h>

/* policy-compile uses these instructions and no others (tests/fuzz/policy.c). */
uint32_t filter_answer(const struct policy *policy, const struct seccomp_data *call)
{
	uint32_t words[sizeof(*call) / sizeof(uint32_t)], accumulator = 0;

	memcpy(words, call, sizeof(words));
	for (unsigned at = 0; at < policy->length; at++) {
		const struct sock_filter *f = &policy->code[at];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS: accumulator = words[f->k / sizeof(uint32_t)]; break;
		case BPF_ALU | BPF_AND | BPF_K: accumulator &= f->k; break;
		case BPF_JMP | BPF_JEQ | BPF_K: at += accumulator == f->k ? f->jt : f->jf; break;
		case BPF_JMP | BPF_JGE | BPF_K: at += accumulator >= f->k ? f->jt : f->jf; break;
		case BPF_RET | BPF_K: return f->k;
		default: return SECCOMP_RET_KILL_PROCESS;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}
