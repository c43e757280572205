/* SPDX-License-Identifier: ISC */
#include "policy/confine.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void process_guard(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* prctl(2): fails for no valid value */
}

/* The linker's; not there in a program that is always at the same address. */
extern ElfW(Dyn) _DYNAMIC[] __attribute__((weak, visibility("hidden")));

bool relocations_guard(void)
{
	const uintptr_t page = getauxval(AT_PAGESZ), table = getauxval(AT_PHDR);
	const ElfW(Phdr) *header = (const ElfW(Phdr) *)table, *relro = NULL;
	uintptr_t base = 0, start, end;

	for (unsigned long i = getauxval(AT_PHNUM); i-- > 0; header++) {
		if (header->p_type == PT_PHDR)
			base = table - header->p_vaddr;
		if (header->p_type == PT_DYNAMIC && _DYNAMIC != NULL) /* musl's has no PT_PHDR */
			base = (uintptr_t)_DYNAMIC - header->p_vaddr;
		if (header->p_type == PT_GNU_RELRO)
			relro = header;
	}
	if (relro == NULL)
		return true;
	start = (base + relro->p_vaddr) & -page;
	end = (base + relro->p_vaddr + relro->p_memsz) & -page;
	return start == end || mprotect((void *)start, end - start, PROT_READ) == 0;
}

const struct policy *policy_find(const char *name)
{
	for (unsigned i = 0; i < policies_count; i++)
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	return NULL;
}

/* An empty permitted set empties the ambient one too (capabilities(7)). */
static bool capabilities_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { .effective = 0 } };
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capset, &header, none) == 0)
		return true;
	/* A super-server's filter may refuse the call: no harm where there is nothing to drop. */
	return syscall(SYS_capget, &header, held) == 0 && memcmp(held, none, sizeof(none)) == 0;
}

/*
 * The system calls are used bare: libc's change the ids of all threads, with a dozen calls each,
 * and there is one thread. The older of two names means ids of 16 bits.
 */
#ifdef SYS_setresuid32
#define SETGROUPS SYS_setgroups32
#define SETRESGID SYS_setresgid32
#define SETRESUID SYS_setresuid32
#else
#define SETGROUPS SYS_setgroups
#define SETRESGID SYS_setresgid
#define SETRESUID SYS_setresuid
#endif

static bool is_group_of(gid_t group, const struct user *user)
{
	for (size_t i = 0; i < user->groups_count; i++)
		if (user->groups[i] == group)
			return true;
	return false;
}

/* All of them: real, effective and saved, and no other group. */
static bool ids_are(const struct user *user)
{
	gid_t groups[USER_GROUPS_MAX];
	uid_t uid[3];
	gid_t gid[3];
	int count = getgroups(USER_GROUPS_MAX, groups);

	if (count < 0 || getresuid(&uid[0], &uid[1], &uid[2]) != 0 ||
		getresgid(&gid[0], &gid[1], &gid[2]) != 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uid[i] != user->uid || gid[i] != user->gid)
			return false;
	for (int i = 0; i < count; i++)
		if (!is_group_of(groups[i], user))
			return false;
	return true;
}

bool privileges_become(const struct user *user)
{
	if (syscall(SETGROUPS, user->groups_count, user->groups) != 0 ||
		syscall(SETRESGID, user->gid, user->gid, user->gid) != 0 ||
		syscall(SETRESUID, user->uid, user->uid, user->uid) != 0)
		return false;
	/* Believe it only when it is seen, and when the way back is seen to be closed. */
	if (!ids_are(user) || syscall(SETRESUID, -1, 0, -1) == 0) {
		errno = EPERM;
		return false;
	}
	process_guard(); /* other ids: it is what /proc/sys/fs/suid_dumpable says (proc(5)) */
	return true;
}

bool confine(const struct policy *policy)
{
	struct sock_fprog program = {
		.len = policy->length,
		.filter = (struct sock_filter *)(uintptr_t)policy->code,
	};

	return capabilities_drop() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool has_seccomp(void)
{
	/* A kernel that has filters looks for this one, and finds none at that address. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}
