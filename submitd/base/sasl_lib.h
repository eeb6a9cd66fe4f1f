/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_LIB_H
#define SUBMITD_SASL_LIB_H

#include <sasl/sasl.h>

/*
 * What the server's and the client's side of Cyrus SASL share in a process.
 *
 * sasl_lib_init() gives the library locks that lock: its own do nothing. Call it before
 * anything else of the library, as often as you like, while there is one thread.
 */
void sasl_lib_init(void);
/*
 * A plug-in of the package libsasl2-modules by the name of its file, "libplain.so.2". It is
 * looked for beside the library only. NULL: it is not there. The caller closes it with
 * dlclose(), after sasl_done().
 */
void *sasl_lib_plugin(const char *file);

/*
 * Global callbacks GETPATH, GETCONFPATH and VERIFYFILE, by which the library finds no file
 * of the system: neither its configuration nor a directory of plug-ins.
 */
int sasl_lib_getpath(void *, const char **path);
int sasl_lib_getconfpath(void *, char **path);
int sasl_lib_verifyfile(void *, const char *file, sasl_verify_type_t);

/* sasl/sasl.h wants callbacks as a pointer to a function without a prototype. */
#define SASL_LIB_CALLBACK(fn) ((int (*)(void))(void (*)(void))(fn))

#endif
