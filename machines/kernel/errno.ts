/** The errnos that modelled functions return, positive as in include/uapi/asm-generic/errno-base.h. */
export const ENOENT = 2;
export const ENOMEM = 12;
export const EFAULT = 14;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
