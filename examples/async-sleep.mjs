// async_sleep: the handler itself sleeps and goes on with the next statement, its local variables kept.
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],

  async requestRoute(msg) {
    const { method } = msg;
    if (method === 'INVITE') {
      const caller = msg.fromUser;
      if (!(await msg.asyncSleep(2))) return; // cancelled meanwhile
      msg.appendToReply(`X-Caller: ${caller}`);
      msg.sendReply(404, 'Not Found');
      return;
    }
    msg.slSendReply(405, 'Method Not Allowed');
  },
});
