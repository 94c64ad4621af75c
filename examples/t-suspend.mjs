// t_suspend and t_continue: the call waits while a web service is asked where the user is, and then goes there. No thread and
// no closure is kept for it, and whoever has the two numbers can continue it.
// LOOKUP_URL=http://127.0.0.1:8080/where/ npx sip-async run examples/t-suspend.mjs
import { defineProxy, htable } from 'sip-async';

const { LOOKUP_URL = 'http://127.0.0.1:8080/where/' } = process.env;

// The call may be continued on another thread, which this table reaches.
const found = htable('found', { expireMs: 60_000 });
const keyOf = (index, label) => `${index}:${label}`;

/** Where a user is, as host:port; '' when the service does not know. */
async function lookUp(user) {
  const response = await fetch(`${LOOKUP_URL}${encodeURIComponent(user)}`, { signal: AbortSignal.timeout(2000) });
  if (response.status === 404) return '';
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  return (await response.text()).trim();
}

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  // For a lookup that is never done; the longest that a call waits.
  modparam: { tm: { max_suspend: 5000 } },

  requestRoute(msg) {
    if (msg.toTag !== null) {
      msg.tRelay();
      return;
    }
    if (msg.method === 'ACK') return;
    const user = /^sips?:([^@;?]+)@/.exec(msg.ruri ?? '')?.[1] ?? '';

    const handle = msg.tSuspend(); // an INVITE gets its 100
    if (handle === false) {
      msg.slSendReply(503, 'Try Again');
      return;
    }
    const { index, label } = handle;
    lookUp(user).then(
      (target) => {
        found.set(keyOf(index, label), target);
        msg.tContinue(index, label, 'FOUND'); // false, and nothing else, if the caller has hung up meanwhile
      },
      (error) => {
        console.error(`${user}: ${error.message}`);
        msg.tContinue(index, label, 'FAILED');
      },
    );
  },

  route: {
    FOUND(msg) {
      const key = keyOf(msg.index, msg.generation);
      const target = found.get(key);
      found.delete(key);
      if (target === '') msg.sendReply(404, 'Not Found');
      else msg.tRelay(target);
    },
    FAILED(msg) {
      msg.sendReply(503, 'Lookup Failed');
    },
  },
});
