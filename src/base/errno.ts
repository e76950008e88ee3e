/** Error numbers of x86-64 and arm64 (include/uapi/asm-generic/errno-base.h, Linux 6.1). */
export const ESRCH = 3;
export const EINTR = 4;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const ENODEV = 19;
export const EMFILE = 24;
