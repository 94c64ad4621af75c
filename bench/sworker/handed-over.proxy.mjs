// The same as direct.proxy.mjs, with every message handed over to the group.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  asyncWorkers: 2,
  eventRoute: {
    'core:pre-routing'(msg) {
      if (msg.sworkerTask('default')) msg.drop();
    },
  },
  requestRoute(msg) {
    if (msg.method === 'ACK') msg.exit();
    msg.tReply(404, 'Not Found');
  },
});
