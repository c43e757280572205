/* SPDX-License-Identifier: ISC */
/*
 * What the address sanitizer is told in programs that are built with it. It has to be in the program:
 * tests start handlers with an environment of their own. Leaks are valgrind's part, because to look
 * for them at its end a handler would have to trace itself, which its confinement forbids.
 */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=1";
}
