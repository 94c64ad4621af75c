// The engine beside another SIP stack. SIP.js parses, answers and keeps the transactions, here over UDP; sip-async keeps the
// keys of INVITEs that wait, and says when each goes on: never early, once, and not if CANCEL came first.
// npm install sip.js; node examples/sipjs-engine.mjs [port] [milliseconds]
import dgram from 'node:dgram';
import { createEngine } from 'sip-async/engine';
import { constructOutgoingResponse, InviteServerTransaction, LoggerFactory, Parser } from 'sip.js/lib/core/index.js';

const [port = '5060', delay = '2000'] = process.argv.slice(2);
const socket = dgram.createSocket('udp4');
const loggerFactory = new LoggerFactory();
loggerFactory.builtinEnabled = false;

// SIP.js's own transactions, each with its request object. They stay in this thread; the engine carries their keys.
const calls = new Map();

const engine = await createEngine({
  log: 'error',
  routes: {
    ANSWER(key) {
      reply(calls.get(key).transaction, 404, 'Not Found');
    },
  },
});

const responseTo = (request, statusCode, reasonPhrase) =>
  constructOutgoingResponse(request, { statusCode, reasonPhrase }).message;

function reply(transaction, statusCode, reasonPhrase) {
  transaction.receiveResponse(statusCode, responseTo(transaction.request, statusCode, reasonPhrase));
}

function onInvite(request, transport) {
  const key = request.viaBranch;
  const onStateChange = (state) => state === 'Terminated' && calls.delete(key);
  const transaction = new InviteServerTransaction(request, transport, { loggerFactory, onStateChange });
  reply(transaction, 100, 'Trying');
  const handle = engine.suspend(key, { route: 'ANSWER', delayMs: Number(delay) });
  calls.set(key, { transaction, handle });
  if (handle === false) reply(transaction, 503, engine.asyncError.code);
}

function receive(bytes, source) {
  const request = Parser.parseMessage(bytes.toString(), loggerFactory.getLogger('parser'));
  if (request?.viaBranch === undefined || request.method === undefined) return;
  const transport = { protocol: 'UDP', send: async (text) => socket.send(text, source.port, source.address) };
  const call = calls.get(request.viaBranch);

  if (request.method === 'CANCEL') {
    void transport.send(responseTo(request, call === undefined ? 481 : 200));
    // false: the call has gone on already, and its route answers it.
    if (call?.handle && engine.cancel(call.handle)) reply(call.transaction, 487);
  } else if (call !== undefined) {
    call.transaction.receiveRequest(request); // a retransmission, or the ACK
  } else if (request.method === 'INVITE') {
    onInvite(request, transport);
  } else if (request.method !== 'ACK') {
    void transport.send(responseTo(request, 405, 'Method Not Allowed'));
  }
}

socket.on('message', (bytes, source) => {
  try {
    receive(bytes, source);
  } catch (error) {
    console.error(`dropped a packet from ${source.address}: ${error.message}`); // SIP.js throws at some that are broken
  }
});
socket.bind(Number(port), '127.0.0.1', () => console.log(`listening on udp:127.0.0.1:${socket.address().port}`));

process.once('SIGTERM', async () => {
  await engine.close(); // what waits is answered in its time, up to 8 s
  for (const { transaction } of calls.values()) transaction.dispose();
  socket.close();
});
