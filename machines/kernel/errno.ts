/** Numbers of include/uapi/asm-generic/errno-base.h and errno.h, where no other file has them. */

export const ENOENT = 2;
export const EAGAIN = 11;
export const EACCES = 13;
export const EPERM = 1;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOVERFLOW = 75;
