// Delegating all SIP to a group: the receiver only looks at each message and hands it to a worker, which deals with it as if it
// just came from the network. One variable goes along.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  asyncWorkers: 4,
  modparam: { sworker: { xdata: '$var(from)' } },

  eventRoute: {
    'core:pre-routing'(msg) {
      msg.var.from = `${msg.srcIp}:${msg.srcPort}`;
      if (msg.sworkerTask('default')) msg.drop();
      // Not taken: the message goes on here.
      console.error(`not handed over: ${msg.asyncError?.code}`);
    },
  },

  requestRoute(msg) {
    if (msg.method === 'ACK') return;
    msg.appendToReply(`X-Worker: ${msg.sworkerActive() ? msg.asyncGname : 'none'}`);
    msg.appendToReply(`X-From: ${msg.var.from ?? 'not handed over'}`);
    msg.sendReply(404, 'Not Found');
  },
});
