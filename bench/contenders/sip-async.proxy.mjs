// The same routes as kamailio.cfg: the user part of the request URI picks what happens, 404 ends all of them.
import { defineProxy } from 'sip-async';

/** The number in `;d=250` of the request URI. @param {string} ruri */
function delayOf(ruri) {
  return Number.parseInt(ruri.slice(ruri.indexOf(';d=') + 3), 10);
}

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  children: 1,
  asyncWorkers: 1,
  modparam: {
    async: { workers: 1, ms_timer: 1 },
  },
  requestRoute(msg) {
    // An ACK that belongs to a transaction never comes here; one that does not has no answer.
    if (msg.method === 'ACK') msg.exit();
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
  },
});
