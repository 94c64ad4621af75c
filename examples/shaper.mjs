// async() twice: a leaky bucket is asked over HTTP how many ms this source must wait, and the call waits for as long.
// node examples/bucket.mjs is such a bucket.
// BUCKET_URL=http://127.0.0.1:8080/ npx sip-async run examples/shaper.mjs
import { defineProxy } from 'sip-async';
import { restGet, usleep } from 'sip-async/ops';

const { BUCKET_URL = 'http://127.0.0.1:8080/' } = process.env;

/** Who would have to wait longer had better come again. */
const LONGEST_MS = 3000;

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],

  requestRoute(msg) {
    if (msg.method === 'ACK') return;
    msg.async(restGet(`${BUCKET_URL}${encodeURIComponent(msg.srcIp)}`), 'SHAPE', { timeout: 5 });
    msg.slSendReply(503, 'Try Again');
  },

  route: {
    SHAPE(msg) {
      let delayMs = 0;
      if (msg.rc > 0 && msg.result.status === 200) delayMs = Number(msg.result.body);
      // A bucket that cannot be asked is no reason to refuse calls.
      else console.error(`the bucket did not say: ${msg.rc > 0 ? msg.result.status : msg.result.message}`);
      if (delayMs > LONGEST_MS) {
        msg.appendToReply(`Retry-After: ${Math.ceil(delayMs / 1000)}`);
        msg.sendReply(503, 'Too Many Calls');
        return;
      }
      msg.async(usleep(delayMs * 1000), 'SHAPED'); // 0 is fine
      msg.sendReply(500, 'Server Internal Error');
    },
    SHAPED(msg) {
      msg.sendReply(404, 'Not Found');
    },
  },
});
