// A proxy. It sends requests on to RELAY_TO, and what RELAY_TO refuses or does not answer to RELAY_NEXT, if that is given:
// RELAY_TO=127.0.0.1:5070 RELAY_NEXT=127.0.0.1:5080 npx sip-async run examples/relay.mjs
import { defineProxy } from 'sip-async';

const { RELAY_TO: first = '127.0.0.1:5070', RELAY_NEXT: second } = process.env;

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  modparam: { tm: { fr_timer: 5000 } },

  requestRoute(msg) {
    // Within a dialog: the Request-URI says where, and the Route that our Record-Route became is taken off.
    if (msg.toTag !== null) {
      msg.tRelay();
      return;
    }
    if (msg.method === 'ACK') return; // belongs to nothing
    msg.recordRoute();
    if (second !== undefined) msg.tOnFailure('NEXT');
    if (!msg.tRelay(first)) msg.slReplyError();
  },

  failureRoute: {
    NEXT(msg) {
      // Who is busy or has hung up does not want to be found elsewhere.
      if (msg.tIsCanceled() || !msg.tCheckStatus('404|408|480|5[0-9][0-9]')) return;
      msg.appendHf('X-Relayed: again');
      msg.tRelay(second);
    },
  },
});
