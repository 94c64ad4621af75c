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
      post(key, (/^msg.(avp|xavp|flags).get/.test(String(scripts[row]).slice(18)) ? shownRead : shown)(msg, value));
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
  ];`;
}

/** Header X-Do names state and row, the Call-ID is the key. A task and an event have no state of their own. */
export const matrixDefinition = `
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=work;workers=1'],
  asyncTkvGname: 'work',
  asyncTkvEvcb: 'core:tkv',
  requestRoute(msg) {
    const [state, row] = (msg.header('X-Do') ?? '').split(' ').map(Number);
    if (msg.method === 'ACK' && msg.toUser !== 'ack') return;
    return states[state](msg, runnerOf(msg.callId, row));
  },
  route: {
    RESUME(msg) { msg.sendReply(404); },
    RESUMED(msg) { return runRow(msg, msg.callId, Number(msg.header('X-Do').split(' ')[1]), answer); },
    TASK() {},
    IN_TASK(msg) {
      const [key, row] = JSON.parse(msg.asyncData);
      return runRow(msg, key, row);
    },
  },
  eventRoute: {
    'core:tkv'(msg) {
      if (msg.atkv.val.startsWith('run ')) return runRow(msg, msg.atkv.key, Number(msg.atkv.val.slice(4)));
    },
  },`;
