// The same routes as kamailio.cfg: the user part of the request URI picks what happens, 404 ends all of them. What only some
// cases need comes in environment variables.
import { defineProxy } from 'sip-async';

/** The number in `;d=250` of the request URI. @param {string} ruri */
function delayOf(ruri) {
  return Number.parseInt(ruri.slice(ruri.indexOf(';d=') + 3), 10);
}

/** @param {import('sip-async').Message} msg */
function handOver(msg) {
  if (msg.sworkerTask('default')) msg.drop();
}

const relayTarget = `sip:127.0.0.1:${process.env.BENCH_RELAY_TO}`;
/**
 * An answered transaction stays for 5 s: at 100,000 calls a second that is half a million. Where more are suspended at once,
 * a quarter on top of them.
 */
const maxTransactions = Math.max(524_288, Math.ceil(1.25 * Number(process.env.BENCH_CALLS ?? 0)));
const seen = { data: '', type: 0, val: '' };

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  children: 1,
  asyncWorkers: 1,
  asyncTkvGname: 'default',
  asyncTkvEvcb: 'core:tkv',
  maxTransactions,
  modparam: {
    async: { workers: 1, ms_timer: 1 },
  },
  requestRoute(msg) {
    // An ACK that belongs to a transaction never comes here; one that does not has no answer.
    if (msg.method === 'ACK') msg.exit();
    const ruri = msg.ruri ?? '';
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
        msg.tRelay(relayTarget);
        break;
      case 'msdelay':
        msg.asyncMsRoute('RESUME', delayOf(ruri));
        break;
      case 'delay':
        msg.asyncRoute('RESUME', delayOf(ruri));
        break;
      default:
        msg.slSendReply(400, 'Unknown Route');
    }
  },
  route: {
    RESUME(msg) {
      msg.tReply(404, 'Not Found');
    },
    DATA(msg) {
      seen.data = String(msg.asyncData);
    },
  },
  eventRoute: {
    'core:tkv'(msg) {
      seen.type = msg.atkv?.type ?? 0;
      seen.val = msg.atkv?.val ?? '';
    },
    ...(process.env.BENCH_HAND_OVER === '1' ? { 'core:pre-routing': handOver } : {}),
  },
});
