import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Whether a UDP port of 127.0.0.1 can be bound, which it is and given back at once; 0 takes any. @returns the port, or 0 */
async function tryPort(port: number): Promise<number> {
  const socket = createSocket('udp4');
  const bound = once(socket, 'listening').then(() => socket.address().port, () => 0);
  socket.bind(port, '127.0.0.1');
  const taken = await bound;
  const closed = once(socket, 'close');
  socket.close();
  await closed;
  return taken;
}

/** A UDP port that is free now, for a program that has to be told one. */
export const freePort = (): Promise<number> => tryPort(0);

/** Whether somebody has bound this UDP port. */
export const isTaken = async (port: number): Promise<boolean> => (await tryPort(port)) === 0;
