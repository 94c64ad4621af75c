// What a proxy does over a day, by the user part of the Request-URI. CALLEE is the port of those who are called.
import { defineProxy } from 'sip-async';

const callee = `127.0.0.1:${process.env.CALLEE}`;

export default defineProxy({
  listen: ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0'],
  asyncWorkers: 1,
  control: process.env.CONTROL,
  maxTransactions: 65_536,
  modparam: { tm: { wt_timer: 1000, fr_timer: 5000, fr_inv_timer: 8000, max_suspend: 10_000 } },
  requestRoute(msg) {
    // In a dialog: by the Route alone.
    if (msg.toTag !== null || msg.method === 'ACK') {
      msg.tRelay(callee);
      return;
    }
    msg.avp.set('begun', Date.now());
    switch (/^sips?:([a-z]+)/.exec(msg.ruri ?? '')?.[1]) {
      case 'direct':
        msg.sendReply(404);
        break;
      case 'wait':
        msg.asyncMsRoute('ANSWER', 1 + (msg.cseq ?? 0) % 900);
        break;
      case 'task':
        msg.asyncTaskData('COUNT', msg.callId ?? '');
        msg.asyncTaskRoute('ANSWER');
        break;
      case 'open': {
        const handle = msg.tSuspend();
        if (handle !== false) setTimeout(() => msg.tContinue(handle.index, handle.label, 'ANSWER'), 20);
        break;
      }
      case 'busy':
        msg.tOnFailure('ELSEWHERE');
        msg.recordRoute();
        msg.tRelay(callee);
        break;
      case 'fork':
        msg.appendBranch('sip:ok@fork.invalid');
        msg.tOnReply('SEEN');
        msg.recordRoute();
        msg.tRelay(callee);
        break;
      default:
        msg.recordRoute();
        msg.tRelay(callee);
    }
  },
  route: {
    ANSWER: (msg) => msg.sendReply(404),
    COUNT: () => undefined,
    SECOND(msg) {
      msg.ruri = 'sip:ok@second.invalid';
      msg.tRelay(callee);
    },
  },
  failureRoute: {
    ELSEWHERE(msg) {
      if (!msg.tIsCanceled()) msg.asyncMsRoute('SECOND', 50);
    },
  },
  onreplyRoute: {
    SEEN: (msg) => msg.appendHf('X-Seen: yes'),
  },
});
