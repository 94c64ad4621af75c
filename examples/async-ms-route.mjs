// async_ms_route: milliseconds, resumed by the worker group "default". The user of the request URI says how many, as in
// sip:250@127.0.0.1.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  asyncWorkers: 2,
  modparam: { async: { ms_timer: 1 } },

  requestRoute(msg) {
    const wanted = /^sips?:(\d+)@/.exec(msg.ruri ?? '')?.[1] ?? '250';
    if (msg.asyncMsRoute('RESUME', wanted) === false) {
      // Nothing has changed, and asyncError says why.
      msg.appendToReply(`X-Error: ${msg.asyncError?.code}`);
      msg.slSendReply(500, 'Not Suspended');
    }
  },

  route: {
    RESUME(msg) {
      msg.sendReply(404, 'Not Found');
    },
  },
});
