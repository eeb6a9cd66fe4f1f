#!/bin/bash
# SPDX-License-Identifier: ISC
#
# make power: simulated power failure. The spool is on ext4 on a loop device; under load the
# service is stopped, the file system is shut down without flushing its log, mounted again,
# and everything that was acknowledged must be there. Two controls must lose mail, or the
# test shows nothing: commits without sync (normal) and no sync at all (off).
#
#   power.sh [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 1
cannot() {
	echo "power: NOT RUN: $1"
	echo "1..0 # SKIP $1"
	exit 77
}
[ "$(id -u)" -eq 0 ] || cannot "needs root"
for p in losetup mkfs.ext4 mount umount; do
	command -v $p >/dev/null || cannot "$p is missing"
done
grep -qw ext4 /proc/filesystems || cannot "the kernel has no ext4"
losetup -f >/dev/null 2>&1 || cannot "no loop device"
exec tests/crash/power.py "${1:-3}"
