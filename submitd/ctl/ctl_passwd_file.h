/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_CTL_PASSWD_FILE_H
#define SUBMITD_CTL_CTL_PASSWD_FILE_H

#include "ctl/ctl.h"

enum passwd_change {
	PASSWD_FAILED = 0, /* err says why; the file is as it was */
	PASSWD_ADDED = 1,
	PASSWD_CHANGED = 2,
	PASSWD_ABSENT = 3, /* nothing to remove */
};
/*
 * Sets the user's hash in a file of lines "name:hash"; hash NULL removes the user. The file is
 * replaced as a whole, with its mode and owner, or not at all; other lines stay as they are.
 */
enum passwd_change ctl_passwd_change(
    const char *path, const char *user, const char *hash, char *err, size_t errsize);

#endif
