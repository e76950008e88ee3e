/**
 * Opens regular files only, by paths that others chose: a FIFO or a device acts or blocks when it is opened, and so do
 * files of the kernel.
 *
 * Invariant: a file is examined through an O_PATH descriptor, which opens nothing, and then opened through it.
 */
import { closeSync, constants, fstatSync, openSync, type Stats, statfsSync } from 'node:fs';

/** A file that is open for reading. */
export interface RegularFile {
  readonly descriptor: number;
  readonly status: Stats;
  /** Type of its file system: f_type of statfs(2). */
  readonly fileSystem: number;
}

/** O_PATH, which Node does not name: the same number on x86-64 and arm64 (asm-generic/fcntl.h). */
const PATH_ONLY = 0o10000000;
const CAREFULLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** f_type of file systems whose files are the kernel's (include/uapi/linux/magic.h, Linux 6.1). */
const KERNEL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xf97cff8c, // selinuxfs
  0x63677270, // cgroup2
  0x27e0eb, // cgroup
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0x62656570, // configfs
  0xde5e81e4, // efivarfs
  0x1cd1, // devpts
  0x19800202, // mqueue
]);

/** f_type of the file system that shows other inodes than it maps. */
export const OVERLAYFS = 0x794c7630;

/** Undefined when the file is not regular, is the kernel's, or is not `isWanted`. Throws errors of the file system. */
export function openRegular(path: string, isWanted: (status: Stats) => boolean): RegularFile | undefined {
  const examined = openSync(path, PATH_ONLY);
  try {
    const status = fstatSync(examined);
    if (!status.isFile()) return undefined;
    const here = `/proc/self/fd/${examined}`;
    const fileSystem = statfsSync(here).type >>> 0;
    if (KERNEL_FILE_SYSTEMS.has(fileSystem) || !isWanted(status)) return undefined;
    return { descriptor: openSync(here, CAREFULLY), status, fileSystem };
  } finally {
    closeSync(examined);
  }
}
