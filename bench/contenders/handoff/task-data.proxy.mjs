// The proxy of the contender task-data, as each of its threads loads it.
import { isMainThread } from 'node:worker_threads';
import { defineProxy } from 'sip-async';
import { raise } from 'sip-async/ops';
import { countTasks } from '../../handoff-tally.mjs';

export const kGroup = 'bench';
export const kAnswer = 'answer';

const count = isMainThread ? () => 0 : countTasks();

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  asyncWorkers: 0,
  modparam: { async: { workers: 0 } },
  requestRoute(msg) {
    msg.slSendReply(405, 'Method Not Allowed');
  },
  route: {
    TASK(msg) {
      count(/** @type {Buffer} */ (msg.asyncData));
    },
    ASK(msg) {
      raise(kAnswer, '', count(/** @type {Buffer} */ (msg.asyncData)));
    },
  },
});
