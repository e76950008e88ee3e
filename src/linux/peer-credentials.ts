/**
 * The user at the other end of a Unix socket, as reported by the kernel: it cannot be forged.
 * Source: unix(7), SO_PEERCRED: the credentials are those at the time of connect(2).
 */
import type { Socket } from 'node:net';
import { addressOf, syscall } from './syscall.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid, 32 bits each. */
const UCRED_BYTES = 12;
const UID_OFFSET = 4;

/** The user id of the process that connected; undefined when the connection is gone. */
export function peerUid(socket: Socket): number | undefined {
  // Node has no public property for a socket's descriptor; a closed connection has none.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  const credentials = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(UCRED_BYTES);
  if (syscall('getsockopt', fd, SOL_SOCKET, SO_PEERCRED, addressOf(credentials), addressOf(length)) < 0)
    return undefined;
  return credentials.readUInt32LE(UID_OFFSET);
}
