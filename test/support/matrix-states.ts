import type { FunctionClass, Row } from './matrix-rows.ts';

/** What a class of functions does in a state: as in a request route that may do everything, or something else. */
type Rule = 'live' | readonly string[];

/** In what state a call is when a function is called, and what the contract says of it. */
export interface State {
  readonly name: string;
  /** `msg` is in the state when `run` is called; `answer` is what a request route does at last. */
  readonly script: string;
  readonly method?: 'INVITE' | 'OPTIONS' | 'ACK';
  /** How the call comes into the state: from the network, or from the program by a task, an event or a launch. */
  readonly by?: 'task' | 'event' | 'launch';
  /** The caller cancels as soon as it has its 100. */
  readonly cancels?: boolean;
  /** The row is what the event route of that CANCEL does. */
  readonly inCancelEvent?: boolean;
  /** The callee refuses what it is sent with 486; without it, it is silent. */
  readonly isAnswered?: boolean;
  /** The final statuses of the call; `live` when the function itself decides. */
  readonly finals: 'live' | readonly number[];
  /** Where that does not hold. */
  readonly finalsOf?: (row: Row) => readonly number[] | undefined;
  /** The call has ended: what is read of it is nothing. */
  readonly isGone?: boolean;
  readonly rules: Readonly<Record<FunctionClass, Rule>>;
}

type Rules = Readonly<Record<FunctionClass, Rule>>;

const live: Rules = {
  suspend: 'live', task: 'live', reply: 'live', newtran: 'live', append: 'live', change: 'live', store: 'live', end: 'live',
  read: 'live', relay: 'live', arm: 'live', armReply: 'live', sworker: 'live', fixed: 'live',
  continue: ['false NOT_SUSPENDED'], undo: ['false NOT_SUSPENDED'],
  check: ['value true'], status: ['value false'], cancelled: ['value false'],
};
const thrownBy = (code: string): Rules => {
  const thrown = [`thrown ${code}`];
  return {
    ...live, suspend: thrown, task: thrown, reply: thrown, newtran: thrown, append: thrown, change: thrown, store: thrown,
    end: thrown, relay: thrown, arm: thrown, armReply: thrown, check: thrown,
  };
};
const refused = (code: string): Rules => {
  const returned = [`false ${code}`];
  return { ...live, suspend: returned, reply: returned, newtran: returned, relay: returned };
};
/** What belongs to no transaction. */
const outside: Rules = { ...refused('NO_TRANSACTION'), check: ['value false'] };
const suspended: Rules = { ...thrownBy('SUSPENDED'), continue: ['true'] };
/** A branch has no caller of its own. */
const ofBranch: Rules = {
  ...live, reply: ['false WRONG_ROUTE'], newtran: ['false NO_TRANSACTION'], relay: ['false WRONG_ROUTE'],
  arm: ['false WRONG_ROUTE'],
};
/** The callee's answer counts once the script has ended without one. */
const leftToCallee = (row: Row) => (row.class === 'end' || row.fn === 'forward' && row.answer === 0 ? [486] : undefined);
const isHugeBody = (row: Row) => row.fn === 'body' && row.live === 'done' && row.script.includes('1 << 20');

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
    rules: { ...refused('ALREADY_ANSWERED'), check: ['value false'] },
  },
  {
    name: 'sleeping', finals: 'live',
    script: `
      const slept = msg.asyncMsSleep(40);
      return Promise.resolve(run(msg)).then(() => slept).then(() => answer(msg));`,
    // Nothing may be done to the call; other work may be started meanwhile.
    rules: {
      ...thrownBy('SUSPENDED'), suspend: ['false ALREADY_SUSPENDED'], task: 'live', check: ['value true'],
    },
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
    rules: suspended,
  },
  {
    name: 'cancelled while its handler runs', finals: [487], cancels: true,
    script: `
      msg.tNewtran();
      const cancelled = new Promise((resolve) => msg.signal.addEventListener('abort', resolve));
      return cancelled.then(() => run(msg));`,
    rules: { ...refused('CANCELLED'), continue: ['false CANCELLED'], cancelled: ['value true'] },
  },
  {
    name: 'in a resumed route', script: "msg.asyncTaskGroupRoute('RESUMED', 'work');", finals: 'live', rules: live,
  },
  {
    name: 'in a resumed route with variables', finals: 'live', rules: live,
    script: "msg.avp.set('kept', 'x'); msg.flags.set(7, false); msg.du = 'sip:x@127.0.0.1:9'; msg.asyncMsRoute('RESUMED', 1);",
  },
  {
    name: 'in the route behind async()', script: "msg.async(() => 1, 'RESUMED');", finals: 'live', rules: live,
  },
  {
    name: 'an ACK', method: 'ACK', script: 'return run(msg, answer);', finals: [], rules: { ...outside, relay: 'live' },
  },
  {
    name: 'answered and kept beyond the end of the route', finals: [404], isGone: true,
    script: 'setTimeout(() => run(msg), 2); msg.sendReply(404);',
    rules: { ...thrownBy('STALE_HANDLE'), suspend: ['false STALE_HANDLE'] },
  },
  {
    name: 'suspended and kept beyond the end of the route', finals: [404],
    script: "setTimeout(() => run(msg), 2); msg.asyncMsRoute('RESUME', 60);",
    rules: { ...thrownBy('STALE_HANDLE'), suspend: ['false STALE_HANDLE'], continue: ['true'] },
  },
  { name: 'in a data task', by: 'task', script: '', finals: [], rules: outside },
  { name: 'in an event', by: 'event', script: '', finals: [], rules: outside },
  { name: 'in a report', by: 'launch', script: '', finals: [], rules: outside },
];

const openRules: Rules = {
  ...suspended, suspend: ['false ALREADY_SUSPENDED'], task: 'live', end: ['ends'], undo: ['true'], check: ['value true'],
};

/** States of a call that is sent on, or waits for its handle. */
export const relayStates: readonly State[] = [
  {
    name: 'relayed', script: 'msg.tRelay(); return run(msg, answer);', isAnswered: true, finals: 'live', finalsOf: leftToCallee,
    rules: live,
  },
  {
    name: 'in a failure route', script: "msg.tOnFailure('FAILED'); msg.tRelay();", isAnswered: true, finals: 'live',
    finalsOf: leftToCallee, rules: { ...live, status: ['value true'] },
  },
  {
    name: 'in a reply route', isAnswered: true, finals: [486],
    script: "msg.avp.set('row', rowOf(msg)); msg.tOnReply('REPLY'); msg.tRelay();",
    // What is too long for a datagram does not go upstream.
    finalsOf: (row) => (isHugeBody(row) ? [502] : undefined),
    rules: { ...ofBranch, armReply: ['false WRONG_ROUTE'], status: ['value true'] },
  },
  {
    name: 'in the reply route for every reply', isAnswered: true, finals: [486],
    script: "msg.avp.set('every', rowOf(msg)); msg.tRelay();",
    finalsOf: (row) => (isHugeBody(row) ? [502] : undefined),
    rules: { ...ofBranch, armReply: ['false WRONG_ROUTE'], status: ['value true'] },
  },
  {
    name: 'in a branch route', isAnswered: true, finals: [486],
    script: "msg.tOnBranch('BRANCH'); msg.tRelay(callee);",
    finalsOf(row) {
      if (isHugeBody(row)) return [500];
      const isElsewhere = row.fn === 'du' && row.live === 'done' && row.script.includes('example.com');
      return isElsewhere || row.fn === 'drop' ? [478] : undefined;
    },
    rules: ofBranch,
  },
  {
    name: 'with an open suspension', finals: [404], rules: openRules,
    script: `
      const { index, label } = msg.tSuspend();
      setTimeout(() => msg.tContinue(index, label, 'RESUME'), 30);
      return run(msg, () => swallow(() => msg.sendReply(480)));`,
    finalsOf: ({ class: of }) => (of === 'undo' ? [480] : undefined),
  },
  {
    name: 'in the event of a CANCEL', cancels: true, inCancelEvent: true, finals: [487], rules: outside,
    script: "msg.tNewtran(); return new Promise((resolve) => msg.signal.addEventListener('abort', resolve));",
  },
];

/** With `modparam async return` above 0. */
export const suspendedState: State = {
  name: 'suspended, with return=1', script: "msg.asyncMsRoute('RESUME', 40); return run(msg);", finals: [404],
  rules: { ...openRules, undo: ['false NOT_SUSPENDED'] },
};

/** In a proxy with `core:pre-routing`, which does what the row says; what goes on from there is answered. */
export const preRoutingState: State = {
  name: 'in core:pre-routing', script: 'return answer(msg);', finals: [480],
  rules: {
    ...outside, reply: ['false NO_TRANSACTION', 'true'], relay: ['false WRONG_ROUTE'], arm: ['false WRONG_ROUTE'],
    armReply: ['false WRONG_ROUTE'], sworker: ['true', 'false UNKNOWN_GROUP'],
  },
  finalsOf(row) {
    if (row.fn === 'drop') return [];
    const isStateless = row.fn === 'slSendReply' || row.fn === 'slReplyError';
    return isStateless && row.answer !== undefined ? [row.answer] : undefined;
  },
};

/** With a handler that waits for the test. */
export const drainingState: State = {
  name: 'while the proxy drains', script: 'return opened.then(() => run(msg, answer));', finals: 'live', rules: live,
};
export const closedState: State = {
  name: 'when the proxy has closed', script: 'return opened.then(() => run(msg));', finals: [503], isGone: true,
  rules: {
    ...refused('CLOSED'), task: ['false CLOSED'], continue: ['false CLOSED'], fixed: ['false CLOSED'], check: ['value false'],
  },
};

/** What is read of a call that has ended. */
const nothing: Readonly<Record<string, string>> = { 'value string': 'value null', 'value array 1': 'value array 0' };
const isMistake = (outcome: string) => /^(TypeError|RangeError|false .*)$/.test(outcome);

/** Everything that a row may come to in a state. */
export function outcomes({ rules, isGone }: State, row: Row): readonly string[] {
  const rule = rules[row.class];
  if (rule === 'live') return [row.class === 'read' && isGone ? (nothing[row.live] ?? row.live) : row.live];
  // Two things are wrong then, and either may be told.
  return row.class === 'fixed' || isMistake(row.live) ? [...rule, row.live] : rule;
}

/** The final statuses that the caller sees. */
export function finals(state: State, row: Row): readonly number[] {
  const own = state.finalsOf?.(row);
  if (own !== undefined) return own;
  if (state.finals !== 'live') return state.finals;
  if (state.rules[row.class] !== 'live' || row.answer === undefined) return [480];
  return row.answer === 0 ? [] : [row.answer];
}
