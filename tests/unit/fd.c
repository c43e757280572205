/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <sys/socket.h>

#include "lib/fd.h"

/* Both ends are closed, and nothing beside them. */
static int close_some(void *context)
{
	int fd[5];

	(void)context;
	for (int i = 0; i < 5; i++) {
		fd[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, i == 0 ? 100 : fd[i - 1] + 1);
		if (fd[i] != 100 + i)
			return 1;
	}
	fd_close_range(fd[1], fd[3]);
	for (int i = 0; i < 5; i++)
		if ((fcntl(fd[i], F_GETFD) >= 0) != (i == 0 || i == 4))
			return 2;
	return 0;
}

static void fd_range_is_closed_and_no_more(void **state)
{
	(void)state;
	unit_expect(unit_reap(unit_fork(close_some, NULL)));
}

/* With these standard descriptors closed, one bit each: is a new socket above them, close-on-exec, and the
 * only one? */
static int make_socket(void *context)
{
	const unsigned *closed = context;
	int fd;

	for (int i = 0; i <= STDERR_FILENO; i++)
		if (*closed >> i & 1)
			(void)close(i);
	fd = fd_socket(AF_UNIX, SOCK_DGRAM);
	if (fd <= STDERR_FILENO || fcntl(fd, F_GETFD) != FD_CLOEXEC)
		return 1;
	for (int i = 0; i <= STDERR_FILENO; i++)
		if ((*closed >> i & 1) && fcntl(i, F_GETFD) >= 0)
			return 2;
	return 0;
}

static void fd_socket_is_never_a_standard_descriptor(void **state)
{
	(void)state;
	for (unsigned closed = 0; closed < 8; closed++)
		unit_expect(unit_reap(unit_fork(make_socket, &closed)));
}

static void fd_that_nobody_reads_is_not_ready(void **state)
{
	char bytes[4096] = { 0 };
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(fd_is_ready(ends[1]));
	while (write(ends[1], bytes, sizeof(bytes)) > 0)
		;
	assert_false(fd_is_ready(ends[1]));
	(void)close(ends[0]);
	assert_false(fd_is_ready(ends[1]));
	(void)close(ends[1]);
	assert_false(fd_is_ready(ends[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fd_socket_is_never_a_standard_descriptor),
		cmocka_unit_test(fd_range_is_closed_and_no_more),
		cmocka_unit_test(fd_that_nobody_reads_is_not_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
