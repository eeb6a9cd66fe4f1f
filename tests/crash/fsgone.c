/* SPDX-License-Identifier: ISC */
/*
 * fsgone DIRECTORY: the file system of DIRECTORY (ext4, XFS) is gone as at a
 * power failure: nothing that is not on the disk yet gets there, the log is not
 * flushed. For the loop devices of tests/crash/power.sh only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IOC_SHUTDOWN _IOR('X', 125, __u32) /* EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN */
#define FLAGS_NOLOGFLUSH 2

int
main(int argc, char **argv)
{
	__u32 flags = FLAGS_NOLOGFLUSH;
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: fsgone DIRECTORY\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || ioctl(fd, IOC_SHUTDOWN, &flags) == -1) {
		fprintf(stderr, "fsgone: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	close(fd);
	return 0;
}
