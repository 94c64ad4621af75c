// The same routes as sip-async.proxy.mjs and kamailio.cfg. Read by the main thread and by every worker.
const relayTo = Number(process.env.BENCH_RELAY_TO ?? 0);

/** The number in `;d=250` of the request URI. @param {string} ruri */
function delayOf(ruri) {
  return Number.parseInt(ruri.slice(ruri.indexOf(';d=') + 3), 10);
}

/** @param {import('./message.mjs').Message} msg */
export function requestRoute(msg) {
  const ruri = msg.ruri;
  switch (ruri.slice(4, ruri.indexOf('@'))) {
    case 'direct':
      msg.tReply(404, 'Not Found');
      break;
    case 'msroute':
      msg.asyncMsRoute('RESUME', 100);
      break;
    case 'task':
      msg.asyncTaskRoute('RESUME');
      break;
    case 'data':
      msg.asyncTaskData('DATA', `call ${msg.callId} from ${msg.srcIp}`);
      msg.tReply(404, 'Not Found');
      break;
    case 'tkv':
      msg.asyncTkvEmit(3, 'bench', `call ${msg.callId}`);
      msg.tReply(404, 'Not Found');
      break;
    case 'relay':
      msg.tRelay({ address: '127.0.0.1', port: relayTo });
      break;
    case 'msdelay':
      msg.asyncMsRoute('RESUME', delayOf(ruri));
      break;
    case 'delay':
      msg.asyncMsRoute('RESUME', 1000 * delayOf(ruri));
      break;
    default:
      msg.slSendReply(400, 'Unknown Route');
  }
}

/** What the last data task and the last event brought: they are read, as the others' routes read them. */
export const seen = { data: '', type: 0, val: '' };

/** @type {import('./message.mjs').Routes['route']} */
export const route = {
  RESUME(msg) {
    msg.tReply(404, 'Not Found');
  },
  DATA(msg) {
    seen.data = msg.asyncData;
  },
};

/** @type {import('./message.mjs').Routes['eventRoute']} */
export const eventRoute = {
  'core:tkv'(msg) {
    seen.type = msg.atkv.type;
    seen.val = msg.atkv.val;
  },
};
