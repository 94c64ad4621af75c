import { boardPrelude } from './board.ts';
import type { Row } from './matrix-rows.ts';
import type { State } from './matrix-states.ts';

/** The module of a proxy that brings a call into a state and then does what a row says. */
export function matrixPrelude(rows: readonly Row[], states: readonly State[]): string {
  const body = (script: string) => (script.startsWith('{') ? script : `{ return ${script}; }`);
  return `${boardPrelude}
  const scripts = [
    ${rows.map(({ script }) => `(msg) => ${body(script)},`).join('\n    ')}
  ];
  const codeOf = (error) => error?.code?.replace('SIPASYNC_ERR_', '');
  const swallow = (action) => { try { action(); } catch {} };
  const answer = (msg) => void msg.sendReply(480);
  /** Where a callee listens. */
  const callee = process.env.CALLEE;
  const rowOf = (msg) => Number(msg.header('X-Do').split(' ')[1]);
  const stateOf = (msg) => Number(msg.header('X-Do').split(' ')[0]);
  /** A suspension that nothing else would end. */
  function continued(msg, handle) {
    if (handle) msg.tContinue(handle.index, handle.label, 'RESUME');
    return handle;
  }

  function shown(msg, value) {
    if (value === undefined) return 'done';
    if (value === true) return msg.asyncError === null ? 'true' : 'true, but ' + codeOf(msg.asyncError);
    if (value === false) return msg.asyncError === null ? 'false' : 'false ' + codeOf(msg.asyncError);
    if (Array.isArray(value)) return 'value array ' + value.length;
    return 'value ' + (value === null || typeof value === 'number' ? value : typeof value);
  }
  const shownRead = (msg, value) => typeof value === 'boolean' ? 'value ' + value : shown(msg, value);

  /** Does what the row says; then \`finish\`, unless the script has ended. */
  function runRow(msg, key, row, finish = () => undefined) {
    const done = (value) => {
      post(key, (/return msg\\.((avp|xavp|flags)\\.get|tCheck|tIs|sworkerActive)/.test(String(scripts[row])) ? shownRead : shown)(msg, value));
      return finish(msg);
    };
    const failed = (error) => {
      if (error instanceof Error) {
        post(key, error.code === undefined ? error.constructor.name : 'thrown ' + codeOf(error));
        return finish(msg);
      }
      post(key, 'ends');
      throw error;
    };
    let value;
    try {
      value = scripts[row](msg);
    } catch (error) {
      return failed(error);
    }
    return typeof value?.then === 'function' ? value.then(done, failed) : done(value);
  }
  const runnerOf = (key, row) => (msg, finish) => runRow(msg, key, row, finish);

  const states = [
    ${states.map(({ script }) => `(msg, run) => { ${script} },`).join('\n    ')}
  ];
  /** In these the row is what the event route of the CANCEL does. */
  const cancelStates = new Set(${JSON.stringify(states.flatMap(({ inCancelEvent }, i) => (inCancelEvent ? [i] : [])))});`;
}

/** Header X-Do names state and row, the Call-ID is the key. A task and an event have no state of their own. */
export const matrixDefinition = `
  // Names resolve to nothing, and nobody is asked.
  dns: { servers: ['127.0.0.1:9'], timeout: 200 },
  modparam: { tm: { fr_timer: 3000 } },
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=work;workers=1'],
  asyncTkvGname: 'work',
  asyncTkvEvcb: 'core:tkv',
  requestRoute(msg) {
    if (msg.method === 'ACK' && msg.toUser !== 'ack') return;
    return states[stateOf(msg)](msg, runnerOf(msg.callId, rowOf(msg)));
  },
  route: {
    RESUME(msg) { msg.sendReply(404); },
    RESUMED(msg) { return runRow(msg, msg.callId, rowOf(msg), answer); },
    TASK() {},
    IN_TASK(msg) {
      const [key, row] = JSON.parse(msg.asyncData ?? msg.launchText);
      return runRow(msg, key, row);
    },
  },
  failureRoute: {
    FAILED(msg) { return runRow(msg, msg.callId, rowOf(msg), answer); },
  },
  replyRoute(msg) { if (msg.avp.has('every')) return runRow(msg, msg.callId, msg.avp.get('every')); },
  onreplyRoute: {
    // The reply has no X-Do; the row is in the call's variables.
    REPLY(msg) { if (msg.avp.has('row')) return runRow(msg, msg.callId, msg.avp.get('row')); },
  },
  branchRoute: {
    BRANCH(msg) { return runRow(msg, msg.callId, rowOf(msg)); },
  },
  eventRoute: {
    'tm:canceled'(msg) {
      if (cancelStates.has(stateOf(msg))) return runRow(msg, msg.callId, rowOf(msg));
    },
    'core:tkv'(msg) {
      if (msg.atkv.val.startsWith('run ')) return runRow(msg, msg.atkv.key, Number(msg.atkv.val.slice(4)));
    },
  },`;

/** The same with the event route that every message runs first: it does what the row says. */
export const preRoutingDefinition = matrixDefinition.replace(
  'eventRoute: {',
  `eventRoute: {
    'core:pre-routing'(msg) {
      if (msg.isRequest && msg.method !== 'ACK' && msg.header('X-Do') !== null) return runRow(msg, msg.callId, rowOf(msg));
    },`,
);
