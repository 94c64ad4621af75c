import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const resendAfterMs = 500;

export interface CallStreamOptions {
  port: number;
  /** How many calls in all. */
  calls: number;
  /** How many sockets share them. */
  sockets: number;
  /** How many calls of one socket may be open at a time. */
  outstanding: number;
}

interface OpenCall {
  readonly text: string;
  sentAtMs: number;
}

/**
 * Sends calls as fast as they are answered, every fourth an INVITE that is acknowledged, the others OPTIONS. Made for
 * numbers that the client of the other tests is too thorough for.
 *
 * @returns how many calls were answered, by status
 */
export async function streamCalls({ port, calls, sockets, outstanding }: CallStreamOptions): Promise<Record<string, number>> {
  const answered: Record<string, number> = {};
  let next = 0;

  const lane = async (): Promise<void> => {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const own = `127.0.0.1:${socket.address().port}`;
    const open = new Map<string, OpenCall>();
    const send = (text: string) => socket.send(text, port, '127.0.0.1');
    const start = () => {
      const number = next;
      next += 1;
      const id = `${number}-${socket.address().port}`;
      const text = requestOf(number % 4 === 0 ? 'INVITE' : 'OPTIONS', number, id, own);
      open.set(id, { text, sentAtMs: performance.now() });
      send(text);
    };
    await new Promise<void>((done) => {
      socket.on('message', (bytes) => {
        const text = bytes.toString('latin1');
        const status = text.slice(8, 11);
        if (status < '200') return;
        const id = /branch=z9hG4bK([\w-]+)/.exec(text)![1]!;
        const call = open.get(id);
        if (text.includes(' INVITE\r\n')) send(ackOf(text, own, id));
        if (call === undefined) return;
        open.delete(id);
        answered[status] = (answered[status] ?? 0) + 1;
        if (next < calls) start();
        else if (open.size === 0) done();
      });
      for (let i = 0; i < outstanding && next < calls; i += 1) start();
      if (open.size === 0) done();
      const resending = setInterval(() => {
        const nowMs = performance.now();
        for (const call of open.values()) {
          if (nowMs - call.sentAtMs < resendAfterMs) continue;
          call.sentAtMs = nowMs;
          send(call.text);
        }
      }, resendAfterMs);
      socket.once('close', () => clearInterval(resending));
    });
    socket.close();
    await once(socket, 'close');
  };
  await Promise.all(Array.from({ length: sockets }, lane));
  return answered;
}

function requestOf(method: string, cseq: number, id: string, own: string): string {
  return [
    `${method} sip:soak@127.0.0.1 SIP/2.0`,
    `Via: SIP/2.0/UDP ${own};branch=z9hG4bK${id}`,
    'Max-Forwards: 70',
    'From: <sip:caller@client.invalid>;tag=soak',
    'To: <sip:soak@proxy.invalid>',
    `Call-ID: ${id}@client.invalid`,
    `CSeq: ${cseq} ${method}`,
    `Contact: <sip:caller@${own}>`,
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n');
}

function ackOf(response: string, own: string, id: string): string {
  const line = (name: string) => new RegExp(`^${name}:.*$`, 'm').exec(response)![0].trimEnd();
  return [
    `ACK sip:soak@127.0.0.1 SIP/2.0`,
    `Via: SIP/2.0/UDP ${own};branch=z9hG4bK${id}`,
    'Max-Forwards: 70',
    line('From'),
    line('To'),
    line('Call-ID'),
    line('CSeq').replace('INVITE', 'ACK'),
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n');
}
