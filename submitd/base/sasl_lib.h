/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_LIB_H
#define SUBMITD_SASL_LIB_H

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

#endif
