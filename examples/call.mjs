// A SIP client of one call, to try the other examples with: node examples/call.mjs [udp:127.0.0.1:5060] [user] [method]
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';

const [target = 'udp:127.0.0.1:5060', user = 'alice', method = 'INVITE'] = process.argv.slice(2);
const [, host, port] = /^(?:udp:)?(.+):(\d+)$/.exec(target) ?? [];
if (host === undefined) {
  console.error(`expected an address as udp:127.0.0.1:5060, got ${target}`);
  process.exit(2);
}

const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
const branch = `z9hG4bK${randomBytes(8).toString('hex')}`;
const callId = randomBytes(8).toString('hex');
const started = performance.now();
const say = (text) => console.log(`${((performance.now() - started) / 1000).toFixed(3).padStart(7)} s  ${text}`);

function request(name, to) {
  return [
    `${name} sip:${user}@${host}:${port} SIP/2.0`,
    `Via: SIP/2.0/UDP 127.0.0.1:${socket.address().port};branch=${branch};rport`,
    'Max-Forwards: 70',
    'From: <sip:caller@example.org>;tag=call',
    `To: ${to}`,
    `Call-ID: ${callId}`,
    `CSeq: 1 ${name}`,
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n');
}

const send = (text) => socket.send(text, Number(port), host.replace(/^\[|\]$/g, ''));
const patience = setTimeout(() => {
  say('no final answer');
  process.exit(1);
}, 110_000);

socket.on('message', (bytes) => {
  const text = bytes.toString();
  const line = text.slice(0, text.indexOf('\r\n'));
  const extras = [...text.matchAll(/^X-.*$/gm)].map(([header]) => header.trim());
  say(`<-- ${[line, ...extras].join('  ')}`);
  if (!/^SIP\/2\.0 [2-6]/.test(line)) return;
  if (method === 'INVITE') send(request('ACK', /^To: *(.*)$/m.exec(text)[1].trim()));
  clearTimeout(patience);
  socket.close();
});
socket.bind(0, () => {
  const to = `<sip:${user}@${host}>`;
  say(`--> ${method} sip:${user}@${host}:${port}`);
  send(request(method, to));
});
