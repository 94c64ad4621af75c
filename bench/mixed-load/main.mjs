// Process entry of the load: callees first, whose port the proxy needs, then callers and strangers against the proxy.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { Callee } from './callee.mjs';
import { Caller } from './caller.mjs';

/** Strangers send this many packets a second. */
const kStrangeRate = 50;

const callee = new Callee();
process.send?.({ event: 'callee', port: await callee.start() });
/** @type {{ udp: number, tcp: number, rate: number, seconds: number }} */
const { udp, tcp, rate, seconds } = await new Promise((resolve) => process.once('message', resolve));

/** A seeded random number, so that a run can be repeated. */
let state = 20_261_121;
const random = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};

// A stranger mutates a request, byte by byte, and now and then opens a connection that says something useless.
const base = Buffer.from(
  'INVITE sip:wait@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKstranger\r\nFrom: <sip:a@b>;tag=1\r\n' +
    'To: <sip:c@d>\r\nCall-ID: stranger\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n',
);
const strange = createSocket('udp4');
let strangeCount = 0;
const strangers = setInterval(() => {
  const bytes = Buffer.from(base);
  for (let i = 1 + Math.floor(random() * 8); i > 0; i -= 1) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  strange.send(bytes.subarray(0, Math.floor(random() * bytes.length)), udp, '127.0.0.1');
  strangeCount += 1;
  if (strangeCount % kStrangeRate !== 0) return;
  const socket = connect(tcp, '127.0.0.1', () => socket.end(bytes));
  socket.on('error', () => {});
}, 1000 / kStrangeRate);

const caller = new Caller(udp);
await caller.run(rate, seconds);
clearInterval(strangers);
strange.close();
callee.stop();
process.send?.({ event: 'done', counts: { ...caller.counts, unacknowledged: callee.unacknowledged, strange: strangeCount } }, () => process.disconnect());
