// The main job: an INVITE is suspended, and four seconds later another thread answers it. Nothing waits meanwhile.
import { threadId } from 'node:worker_threads';
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  modparam: { async: { workers: 1 } },

  requestRoute(msg) {
    // 100 goes out at once; the script ends here, for asyncRoute does not return.
    if (msg.method === 'INVITE') msg.asyncRoute('RESUME', 4);
    msg.slSendReply(405, 'Method Not Allowed');
  },

  route: {
    RESUME(msg) {
      msg.appendToReply(`X-Thread: ${threadId}`);
      msg.sendReply(404, 'Not Found');
    },
  },
});
