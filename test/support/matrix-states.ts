import type { FunctionClass, Row } from './matrix-rows.ts';

/** What a class of functions does in a state: as in a request route that may do everything, or something else. */
type Rule = 'live' | readonly string[];

/** In what state a call is when a function is called, and what the contract says of it. */
export interface State {
  readonly name: string;
  /** `msg` is in the state when `run` is called; `answer` is what a request route does at last. */
  readonly script: string;
  readonly method?: 'INVITE' | 'OPTIONS' | 'ACK';
  /** How the call comes into the state: from the network, or from the program by a task or an event. */
  readonly by?: 'task' | 'event';
  /** The final statuses of the call; `live` when the function itself decides. */
  readonly finals: 'live' | readonly number[];
  /** The call has ended: what is read of it is nothing. */
  readonly isGone?: boolean;
  readonly rules: Readonly<Record<FunctionClass, Rule>>;
}

const live: Readonly<Record<FunctionClass, Rule>> = {
  suspend: 'live', task: 'live', reply: 'live', newtran: 'live', append: 'live', change: 'live', store: 'live', end: 'live',
  read: 'live',
};
const thrownBy = (code: string): Readonly<Record<FunctionClass, Rule>> => {
  const thrown = [`thrown ${code}`];
  return {
    suspend: thrown, task: thrown, reply: thrown, newtran: thrown, append: thrown, change: thrown, store: thrown, end: thrown,
    read: 'live',
  };
};
const refused = (code: string): Readonly<Record<FunctionClass, Rule>> => {
  const returned = [`false ${code}`];
  return { ...live, suspend: returned, reply: returned, newtran: returned };
};

/** States of a proxy with all defaults. */
export const states: readonly State[] = [
  { name: 'running', script: 'return run(msg, answer);', finals: 'live', rules: live },
  { name: 'running, OPTIONS', method: 'OPTIONS', script: 'return run(msg, answer);', finals: 'live', rules: live },
  { name: 'after a provisional reply', script: 'msg.sendReply(183); return run(msg, answer);', finals: 'live', rules: live },
  { name: 'after tNewtran', script: 'msg.tNewtran(); return run(msg, answer);', finals: 'live', rules: live },
  {
    name: 'answered', script: 'msg.sendReply(404); return run(msg);', finals: [404], rules: refused('ALREADY_ANSWERED'),
  },
  {
    name: 'answered without a transaction', script: 'msg.slSendReply(404); return run(msg);', finals: [404],
    rules: refused('ALREADY_ANSWERED'),
  },
  {
    name: 'sleeping', finals: 'live',
    script: `
      const slept = msg.asyncMsSleep(40);
      return Promise.resolve(run(msg)).then(() => slept).then(() => answer(msg));`,
    // Nothing may be done to the call; other work may be started meanwhile.
    rules: { ...thrownBy('SUSPENDED'), suspend: ['false ALREADY_SUSPENDED'], task: 'live' },
  },
  {
    name: 'given up by exit', script: 'swallow(() => msg.exit()); return run(msg);', finals: [500],
    rules: thrownBy('SUSPENDED'),
  },
  {
    name: 'given up by drop', script: 'swallow(() => msg.drop()); return run(msg);', finals: [],
    rules: thrownBy('SUSPENDED'),
  },
  {
    name: 'given up by a suspension', script: "swallow(() => msg.asyncMsRoute('RESUME', 40)); return run(msg);", finals: [404],
    rules: thrownBy('SUSPENDED'),
  },
  {
    name: 'cancelled while its handler runs', finals: [487],
    script: `
      msg.tNewtran();
      const cancelled = new Promise((resolve) => msg.signal.addEventListener('abort', resolve));
      return cancelled.then(() => run(msg));`,
    rules: refused('CANCELLED'),
  },
  {
    name: 'in a resumed route', script: "msg.asyncTaskGroupRoute('RESUMED', 'work');", finals: 'live', rules: live,
  },
  {
    name: 'in a resumed route with variables', finals: 'live', rules: live,
    script: "msg.avp.set('kept', 'x'); msg.flags.set(7, false); msg.du = 'sip:x@y'; msg.asyncMsRoute('RESUMED', 1);",
  },
  { name: 'an ACK', method: 'ACK', script: 'return run(msg, answer);', finals: [], rules: refused('NO_TRANSACTION') },
  {
    name: 'answered and kept beyond the end of the route', finals: [404], isGone: true,
    script: 'setTimeout(() => run(msg), 2); msg.sendReply(404);',
    rules: { ...thrownBy('STALE_HANDLE'), suspend: ['false STALE_HANDLE'] },
  },
  {
    name: 'suspended and kept beyond the end of the route', finals: [404],
    script: "setTimeout(() => run(msg), 2); msg.asyncMsRoute('RESUME', 60);",
    rules: { ...thrownBy('STALE_HANDLE'), suspend: ['false STALE_HANDLE'] },
  },
  { name: 'in a data task', by: 'task', script: '', finals: [], rules: refused('NO_TRANSACTION') },
  { name: 'in an event', by: 'event', script: '', finals: [], rules: refused('NO_TRANSACTION') },
];

/** With `modparam async return` above 0. */
export const suspendedState: State = {
  name: 'suspended, with return=1', script: "msg.asyncMsRoute('RESUME', 40); return run(msg);", finals: [404],
  rules: { ...thrownBy('SUSPENDED'), suspend: ['false ALREADY_SUSPENDED'], task: 'live', end: ['ends'] },
};

/** With a handler that waits for the test. */
export const drainingState: State = {
  name: 'while the proxy drains', script: 'return opened.then(() => run(msg, answer));', finals: 'live', rules: live,
};
export const closedState: State = {
  name: 'when the proxy has closed', script: 'return opened.then(() => run(msg));', finals: [503], isGone: true,
  rules: { ...refused('CLOSED'), task: ['false CLOSED'] },
};

/** What is read of a call that has ended. */
const nothing: Readonly<Record<string, string>> = { 'value string': 'value null', 'value array 1': 'value array 0' };
const isMistake = (outcome: string) => /^(TypeError|RangeError|false .*)$/.test(outcome);

/** Everything that a row may come to in a state. */
export function outcomes({ rules, isGone }: State, row: Row): readonly string[] {
  const rule = rules[row.class];
  if (rule === 'live') return [row.class === 'read' && isGone ? (nothing[row.live] ?? row.live) : row.live];
  // Two things are wrong then, and either may be told.
  return isMistake(row.live) ? [...rule, row.live] : rule;
}

/** The final statuses that the caller sees. */
export function finals(state: State, row: Row): readonly number[] {
  if (state.finals !== 'live') return state.finals;
  if (state.rules[row.class] !== 'live' || row.answer === undefined) return [480];
  return row.answer === 0 ? [] : [row.answer];
}
