// The same as direct.proxy.mjs, with an event route that lets every message through.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  asyncWorkers: 2,
  eventRoute: { 'core:pre-routing'() {} },
  requestRoute(msg) {
    if (msg.method === 'ACK') msg.exit();
    msg.tReply(404, 'Not Found');
  },
});
