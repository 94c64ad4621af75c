// @ts-check
// JavaScript whose author has switched checking on. Checked by `npm run types`, never run.
import { defineProxy } from 'sip-async';

/** @param {import('sip-async').Message} msg */
function apart(msg) {
  msg.asyncRoute('whatever it is', 1);
  // @ts-expect-error a name is a string
  msg.asyncRoute(1, 1);
}

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  asyncWorkersGroup: ['name=abc;workers=4'],
  async requestRoute(msg) {
    msg.asyncRoute('RESUME', 4);
    // @ts-expect-error misspelt
    msg.asyncRoute('RESUEM', 4);
    msg.asyncTaskGroupRoute('APART', 'abc');
    // @ts-expect-error misspelt
    msg.asyncTaskGroupRoute('APART', 'acb');
    apart(msg);
  },
  route: {
    RESUME(msg) {
      // @ts-expect-error misspelt
      msg.asyncTaskRoute('APRAT');
      msg.sendReply(404, 'Not Found');
    },
    APART: apart,
  },
});

// @ts-expect-error a misspelt member
defineProxy({ requestRout() {} });
