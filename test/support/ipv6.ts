import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Whether this machine has ::1. */
export async function hasIpv6(): Promise<boolean> {
  const socket = createSocket('udp6');
  try {
    socket.bind(0, '::1');
    await once(socket, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
