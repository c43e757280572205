/* SPDX-License-Identifier: ISC */
/* stamp FILE: an action that writes into FILE when it was started. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec ts;
	uint64_t ns;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	fd = argc == 2 ? open(argv[1], O_WRONLY) : -1;
	return fd >= 0 && pwrite(fd, &ns, sizeof(ns), 0) == sizeof(ns) ? 0 : 1;
}
