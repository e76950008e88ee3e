/**
 * Notifies the service manager: a datagram to the socket named by NOTIFY_SOCKET.
 * Source: sd_notify(3), unix(7). Node has no datagrams on Unix sockets.
 */
import { closeSync } from 'node:fs';
import { addressOf, syscall } from './syscall.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** sockaddr_un.sun_path, behind the 16-bit family. */
const PATH_OFFSET = 2;
const PATH_BYTES = 108;

/**
 * Sends `state` (`READY=1`, `STOPPING=1`) to `socketPath`, the value of NOTIFY_SOCKET; `@` starts an abstract name.
 * False: it could not be sent. The service goes on, since the manager has other means to notice its state.
 */
export function notifyService(socketPath: string, state: string): boolean {
  const path = Buffer.from(socketPath.replace(/^@/, '\0'));
  if (path.length === 0 || path.length >= PATH_BYTES) return false;
  const address = Buffer.alloc(PATH_OFFSET + path.length);
  address.writeUInt16LE(AF_UNIX);
  path.copy(address, PATH_OFFSET);
  const message = Buffer.from(state);
  const fd = syscall('socket', AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC);
  if (fd < 0) return false;
  try {
    const sent = syscall(
      'sendto',
      fd,
      addressOf(message),
      message.length,
      MSG_NOSIGNAL,
      addressOf(address),
      address.length,
    );
    return sent === message.length;
  } finally {
    closeSync(fd);
  }
}
