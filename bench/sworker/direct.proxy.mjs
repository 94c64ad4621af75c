// The proxy without core:pre-routing: the receiver does everything.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  asyncWorkers: 2,
  requestRoute(msg) {
    if (msg.method === 'ACK') msg.exit();
    msg.tReply(404, 'Not Found');
  },
});
