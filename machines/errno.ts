/** The errnos that modelled functions return, positive: include/uapi/asm-generic/errno{-base,}.h. */

export const EPERM = 1;
export const ENOENT = 2;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOVERFLOW = 75;
/** include/linux/errno.h: a driver cannot be probed yet. */
export const EPROBE_DEFER = 517;
