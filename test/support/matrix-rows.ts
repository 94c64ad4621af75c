/**
 * The kinds of functions, as far as the state of the call decides what they do:
 * `reply` and `newtran` act on the transaction, `append` prepares a reply, `change` what is forwarded, `store` sets
 * variables, `task` starts other work, `end` ends the script, `read` changes nothing; `relay` sends on, `arm` prepares it,
 * `armReply` too, in branch routes as well; `continue` and `undo` are of a suspension of this very call; `check`, `status` and
 * `cancelled` ask what the state answers; `sworker` is for `core:pre-routing` alone; `fixed` comes to the same in every state.
 */
export type FunctionClass =
  | 'suspend' | 'task' | 'reply' | 'newtran' | 'append' | 'change' | 'store' | 'end' | 'read'
  | 'relay' | 'arm' | 'armReply' | 'continue' | 'undo' | 'check' | 'status' | 'cancelled' | 'sworker' | 'fixed';

/** One call of a function, as it stands in a script, and what becomes of it in a request route that may do everything. */
export interface Row {
  readonly fn: string;
  readonly class: FunctionClass;
  readonly script: string;
  /** `true`, `false`, `false CODE`, `done` (undefined), `ends` (does not return), `value ...`, or the name of an error. */
  readonly live: string;
  /** The final status that the call has then; 0: none at all. */
  readonly answer?: number;
}

type Kinds = readonly (readonly [value: string, live: string])[];

const huge = "'x'.repeat((1 << 20) + 1)";
const all = (live: string, values: readonly string[]): Kinds => values.map((value) => [value, live] as const);
const wrongTypes = ['null', 'true', '{}', '[]', "['RESUME']", '1n', 'Symbol.iterator', '() => 1', 'new Date()'];
const notText = all('TypeError', ['undefined', '7', 'new String("RESUME")', ...wrongTypes]);
const notNumber = all('TypeError', ['undefined', ...wrongTypes]);
const longNames = ["'N'.repeat(63)", "'N'.repeat(10_000)", huge];
const strangeNames = ["''", "'NOPE'", "'resume'", "' RESUME '", "'__proto__'", "'constructor'", "'1'", "'\\0'", ...longNames];

const routes = all('false UNKNOWN_ROUTE', [...strangeNames, "'requestRoute'", "'core:tkv'"]);
const groups = all('false UNKNOWN_GROUP', [...strangeNames, "'async:workers'", "' work '", "'WORK'"]);
const noDelay = all('false DELAY_OUT_OF_RANGE', [
  '0', '-0', '-1', '1.5', '0.1', 'NaN', 'Infinity', '-Infinity', '2 ** 31', '2 ** 53', '1e300', "''", "' '", "'0'", "'-1'",
  "'1.5'", "'1e1'", "'0x1'", "'four'", "'NaN'", "'9'.repeat(10_000)", huge, "'__proto__'",
]);
const noStatus = all('false INVALID_STATUS', ['0', '-1', '99', '700', '200.5', 'NaN', 'Infinity', '2 ** 32 + 200', '1e300']);
const anyText = [
  "''", "'text'", "' 1 '", "'__proto__'", "'constructor'", "'\\0\\r\\n'", "'N'.repeat(63)", "'N'.repeat(10_000)",
];

function rowsOf(fn: string, of: FunctionClass, template: string, kinds: Kinds, answer?: number): Row[] {
  return kinds.map(([value, live]) => {
    const script = template.replace('?', () => value);
    return answer === undefined ? { fn, class: of, script, live } : { fn, class: of, script, live, answer };
  });
}

type Templates = readonly (readonly [args: string, kinds: Kinds])[];

function suspending(fn: string, right: readonly string[], wrong: Templates, live = 'ends'): Row[] {
  return [
    ...rowsOf(fn, 'suspend', '?', all(live, right.map((args) => `msg.${fn}(${args})`)), live === 'ends' ? 404 : undefined),
    ...wrong.flatMap(([args, kinds]) => rowsOf(fn, 'suspend', `msg.${fn}(${args})`, kinds)),
  ];
}

const suspends: Row[] = [
  ...suspending('asyncRoute', ["'RESUME', 1", "'RESUME', '1'", "'RESUME', ' 1 '", "'RESUME', 1, 2"], [
    ['?, 1', [...notText, ...routes]],
    ["'RESUME', ?", [...notNumber, ...noDelay, ...all('false DELAY_OUT_OF_RANGE', ['101', "'101'"])]],
  ]),
  ...suspending('asyncMsRoute', ["'RESUME', 1", "'RESUME', '15'", "'RESUME', ' 15 '"], [
    ['?, 1', [...notText, ...routes]],
    ["'RESUME', ?", [...notNumber, ...noDelay, ...all('false DELAY_OUT_OF_RANGE', ['30001', "'30001'"])]],
  ]),
  ...suspending('asyncSleep', ['1', "'1'", "' 1 '"], [
    ['?', [...notNumber, ...noDelay, ...all('false DELAY_OUT_OF_RANGE', ['101', "'101'"])]],
  ], 'true'),
  ...suspending('asyncMsSleep', ['1', "'15'", "' 15 '"], [
    ['?', [...notNumber, ...noDelay, ...all('false DELAY_OUT_OF_RANGE', ['30001', "'30001'"])]],
  ], 'true'),
  ...suspending('asyncTaskRoute', ["'RESUME'", "'RESUME', 'ignored'"], [['?', [...notText, ...routes]]]),
  ...suspending('asyncTaskGroupRoute', ["'RESUME', 'work'", "'RESUME', 'default'"], [
    ["?, 'work'", [...notText, ...routes]],
    ["'RESUME', ?", [...notText, ...groups]],
  ]),
];

const noTimeout = all('false DELAY_OUT_OF_RANGE', [
  '0', '-0', '-1', '-0.001', 'NaN', 'Infinity', '-Infinity', '31536000.1', '2 ** 53', '1e300',
]);
const aTimeout = ['0.001', '0.0001', '1', '1.5', '31536000', 'undefined'];
const notTimeout = notNumber.filter(([value]) => value !== 'undefined');
const notOperation: Kinds = all('TypeError', ['undefined', '7', "'text'", ...wrongTypes.filter((value) => value !== '() => 1')]);
const notOptions: Kinds = all('TypeError', ['null', '7', "''", 'true', '() => 1', '{ timout: 1 }', '{ timeout: 1, route: 1 }']);
const anOperation = [
  '() => 1', 'async () => 1', '() => undefined', '() => new Promise((done) => setImmediate(done))',
  "() => { throw new Error('x'); }", "() => Promise.reject(new Error('x'))", '(signal) => signal.aborted', 'Date',
];
const statements: Row[] = [
  ...suspending('async', [
    ...anOperation.map((operation) => `${operation}, 'RESUME'`),
    ...aTimeout.map((timeout) => `() => 1, 'RESUME', { timeout: ${timeout} }`),
    "() => 1, 'RESUME', {}", "() => 1, 'RESUME', undefined", "() => new Promise(() => {}), 'RESUME', { timeout: 0.02 }",
  ], [
    ["?, 'RESUME'", notOperation],
    ['() => 1, ?', [...notText, ...routes]],
    ["() => 1, 'RESUME', ?", [...notOptions, ...all('TypeError', ["{ text: 'x' }"])]],
    ["() => 1, 'RESUME', { timeout: ? }", [...notTimeout, ...noTimeout]],
  ]),
];

const tooLarge: Kinds = all('false PAYLOAD_TOO_LARGE', [huge, 'new Uint8Array((1 << 20) + 1)', "'\\u00fc'.repeat(600_000)"]);
const data: Kinds = [
  ...all('true', [...anyText, 'new Uint8Array(0)', 'Buffer.from([0, 255])', "'x'.repeat(1 << 20)"]),
  ...all('TypeError', ['undefined', '7', ...wrongTypes, 'new ArrayBuffer(4)', 'new Uint16Array(2)']),
  ...tooLarge,
];
const eventNumbers: Kinds = [
  ...all('true', ['0', '-1', '1200', '2147483647', '-2147483648']),
  ...all('false OUT_OF_RANGE', ['2147483648', '-2147483649', '0.5', 'NaN', 'Infinity', '-Infinity', '1e300']),
  ...notNumber,
  ...all('TypeError', ["''", "'1'", "' 1 '"]),
];

/** Those that the proxy has, too; `msg.` stands for whichever it is. */
export const taskRows: Row[] = [
  ...rowsOf('launch', 'task', 'msg.launch(?)', [...all('true', anOperation), ...notOperation]),
  ...rowsOf('launch', 'task', 'msg.launch(() => 1, ?)', [
    ...all('true', ["'TASK'", 'undefined', 'null']),
    ...notText.filter(([value]) => value !== 'undefined' && value !== 'null'),
    ...routes,
  ]),
  ...rowsOf('launch', 'task', "msg.launch(() => 1, 'TASK', ?)", [...all('true', ['undefined', '{}']), ...notOptions]),
  ...rowsOf('launch', 'task', "msg.launch(() => 1, 'TASK', { timeout: ? })", [
    ...all('true', aTimeout), ...notTimeout, ...noTimeout,
  ]),
  ...rowsOf('launch', 'task', "msg.launch(() => 1, 'TASK', { text: ? })", [
    ...all('true', [...anyText, 'undefined', "'x'.repeat(1 << 20)"]),
    ...notText.filter(([value]) => value !== 'undefined'),
    ...all('false PAYLOAD_TOO_LARGE', [huge, "'\\u00fc'.repeat(600_000)"]),
  ]),
  ...rowsOf('asyncTaskData', 'task', "msg.asyncTaskData(?, '')", [...notText, ...routes]),
  ...rowsOf('asyncTaskData', 'task', "msg.asyncTaskData('TASK', ?)", data),
  ...rowsOf('asyncTaskGroupData', 'task', "msg.asyncTaskGroupData(?, 'work', '')", [...notText, ...routes]),
  ...rowsOf('asyncTaskGroupData', 'task', "msg.asyncTaskGroupData('TASK', ?, '')", [...notText, ...groups]),
  ...rowsOf('asyncTaskGroupData', 'task', "msg.asyncTaskGroupData('TASK', 'work', ?)", data),
  ...rowsOf('asyncTkvEmit', 'task', "msg.asyncTkvEmit(?, 'ignored', 'value')", eventNumbers),
  ...rowsOf('asyncTkvEmit', 'task', "msg.asyncTkvEmit(1, ?, '')", [
    ...notText, ...all('true', anyText), [huge, 'false PAYLOAD_TOO_LARGE'],
  ]),
  ...rowsOf('asyncTkvEmit', 'task', "msg.asyncTkvEmit(1, 'ignored', ?)", [
    ...notText, ...all('true', anyText), ["'x'.repeat((1 << 20) - 6)", 'false PAYLOAD_TOO_LARGE'],
  ]),
];

const lines: Kinds = [
  ...all('true', ["'X-A: 1'", "'X-A: 1\\r\\n'", "'X-A:'", "'__proto__: 1'", "'X-A: ' + 'N'.repeat(10_000)"]),
  ...all('false INVALID_STATUS', ["''", "' '", "'no header'", "': 1'", "'X-A: 1\\r\\nX-B: 2'", "'X-A: \\0'", "'__proto__'"]),
  ...notText,
];

const replies: Row[] = [
  ...['sendReply', 'tReply', 'slSendReply'].flatMap((fn) => [
    ...[200, 302, 404, 699].flatMap((code) =>
      rowsOf(fn, 'reply', `msg.${fn}(?)`, all('true', [String(code), `${code}, 'Own words'`]), code)),
    ...rowsOf(fn, 'reply', `msg.${fn}(?)`, all('true', ['180', '199', "183, ''", '183, undefined'])),
    ...rowsOf(fn, 'reply', `msg.${fn}(?, 'Reason')`, [
      ...noStatus, ...notNumber, ...all('TypeError', ["''", "'404'", "' 404 '"]),
    ]),
    ...rowsOf(fn, 'reply', `msg.${fn}(404, ?)`, [
      ...notText.filter(([value]) => value !== 'undefined'),
      ...all('false INVALID_STATUS', ["'a\\r\\nX-B: 2'", "'\\0'", "'N'.repeat(10_000)", huge]),
    ]),
  ]),
  { fn: 'slReplyError', class: 'reply', script: 'msg.slReplyError()', live: 'true', answer: 500 },
];

const name63 = "'n'.repeat(63)";
const changes: Row[] = [
  ...rowsOf('appendHf', 'change', 'msg.appendHf(?)', lines),
  ...rowsOf('removeHf', 'change', 'msg.removeHf(?)', [
    ...notText,
    ...all('false INVALID_STATUS', ["''", "' '", "'From '", "'From:'"]),
    ...all('false', ["'__proto__'", "'constructor'", "'N'.repeat(63)", "'N'.repeat(10_000)"]),
  ]),
  ...['ruri', 'du'].flatMap((fn) => rowsOf(fn, 'change', `{ msg.${fn} = ?; }`, [
    ...all('done', ["'sip:x@example.com'", "'sip:' + 'n'.repeat(10_000) + '@example.com'", ...(fn === 'du' ? ['null'] : [])]),
    ...notText.filter(([value]) => fn === 'ruri' || value !== 'null'),
    ...all('TypeError', ["''", "' sip:x@y '", "'sip:x@y\\r\\nX-B: 2'", "'<sip:x@y>'"]),
  ])),
  ...rowsOf('body', 'change', '{ msg.body = ?; }', [
    ...all('done', [...anyText, 'new Uint8Array(3)', huge]),
    ...notText,
  ]),
];

const stored: Row[] = ['avp', 'xavp'].flatMap((fn) => [
  ...[...strangeNames, name63].map((name): Row => {
    const script = `msg.${fn}.set(${name}, 1).get(${name})`;
    return { fn, class: 'store', script, live: 'value 1' };
  }),
  ...["''", "'text'", '0', '-1', '0.5', 'NaN', '1e300', 'true', 'new Uint8Array(2)', huge].flatMap((value) =>
    rowsOf(fn, 'store', '{ ? }', [[`msg.${fn}.set('a', ${value});`, 'done'], [`msg.${fn}.add('a', ${value});`, 'done']])),
  ...rowsOf(fn, 'store', `msg.${fn}.set(?, 1)`, notText),
  ...rowsOf(fn, 'store', `msg.${fn}.set('a', ?)`,
    all('TypeError', ['undefined', 'null', '[1]', '1n', 'Symbol.iterator', '() => 1', 'new Date()'])),
  ...rowsOf(fn, 'store', `{ msg.${fn}.set('a', 1); msg.${fn}.delete(?); }`, [["'a'", 'done'], ['7', 'TypeError']]),
  // Nothing is there to be deleted, so nothing is changed.
  ...rowsOf(fn, 'read', `{ msg.${fn}.delete(?); }`, [["'none'", 'done'], ["'__proto__'", 'done']]),
  ...rowsOf(fn, 'read', `msg.${fn}.get(?)`, [["'none'", 'value null'], ["'__proto__'", 'value null'], ['7', 'TypeError']]),
]);
const flags: Row[] = [
  ...rowsOf('flags', 'store', '{ msg.flags.set(?); }', [
    ...all('done', ['0', '31', '5, false']),
    ...all('RangeError', ['-1', '32', '0.5', 'NaN', '1e300']),
    ...notNumber, ...all('TypeError', ["'3'", "' 3 '", "''", "'__proto__'"]),
  ]),
  ...rowsOf('flags', 'read', 'msg.flags.get(?)', [['7', 'value false'], ['32', 'RangeError'], ["'7'", 'TypeError']]),
];

const headerNames = ["''", "'X-None'", "'__proto__'", "'constructor'", "'Via:'", "'N'.repeat(63)", "'N'.repeat(10_000)", huge];
const reads: Row[] = [
  ...rowsOf('header', 'read', 'msg.header(?)', [
    ...all('value string', ["'Via'", "'v'", "'VIA'"]), ...all('value null', headerNames), ...notText,
  ]),
  ...rowsOf('headers', 'read', 'msg.headers(?)', [
    ...all('value array 1', ["'From'", "'f'"]), ...all('value array 0', headerNames), ...notText,
  ]),
];

const notTarget: Kinds = [
  ...notText.filter(([value]) => value !== 'undefined'),
  ...all('TypeError', ["''", "' '", "'a b'", "'sip:x@127.0.0.1:9\\r\\nX-B: 2'", "'<sip:x@127.0.0.1:9>'", "'\\0'"]),
];
const nowhere: Kinds = all('false UNROUTABLE', [
  "'127.0.0.1:99999'", "'127.0.0.1:'", "'sip:'", "'tel:+15550100'", "'http://127.0.0.1/'", "'[::1]:5060'", "'[::1'",
  "'tcp:127.0.0.1:9'", "'tls:127.0.0.1:9'", "'ws:127.0.0.1:9'", "'sips:x@127.0.0.1'", "'sip:x@127.0.0.1:9;transport=sctp'",
]);
const aName: Kinds = all('true', ["'nowhere.invalid'", "'sip:x@nowhere.invalid'", "'udp:nowhere.invalid:5060'"]);
const here = ['callee', '`udp:${callee}`', '`UDP:${callee}`', '`sip:x@${callee}`', '`sip:x@${callee};transport=udp;lr`'];

const relays: Row[] = [
  { fn: 'tRelay', class: 'relay', script: 'msg.tRelay()', live: 'true' },
  ...rowsOf('tRelay', 'relay', 'msg.tRelay(?)', [
    ...all('true', ['undefined', ...here]), ...aName, ...notTarget, ...nowhere,
  ]),
  { fn: 'forward', class: 'relay', script: 'msg.forward()', live: 'true', answer: 0 },
  ...rowsOf('forward', 'relay', 'msg.forward(?)', all('true', ['undefined', ...here]), 0),
  ...rowsOf('forward', 'relay', 'msg.forward(?)', [
    ...all('false UNROUTABLE', aName.map(([value]) => value)), ...notTarget, ...nowhere,
  ]),
];

function arming(fn: string, of: FunctionClass, block: string): Row[] {
  return rowsOf(fn, of, `msg.${fn}(?)`, [
    ...all('true', [`'${block}'`, 'null']),
    ...notText.filter(([value]) => value !== 'null'),
    ...all('false UNKNOWN_ROUTE', [...strangeNames, "'RESUME'", "'requestRoute'", `'${block.toLowerCase()}'`]),
  ]);
}
const arms: Row[] = [
  ...arming('tOnFailure', 'arm', 'FAILED'),
  ...arming('tOnBranch', 'arm', 'BRANCH'),
  ...arming('tOnReply', 'armReply', 'REPLY'),
  ...rowsOf('appendBranch', 'arm', 'msg.appendBranch(?)', [
    ...all('true', ["'sip:x@example.com'", '`sip:x@${callee}`', "'sip:' + 'n'.repeat(10_000) + '@example.com'"]),
    ...notText,
    ...all('TypeError', ["''", "' sip:x@y '", "'sip:x@y\\r\\nX-B: 2'", "'<sip:x@y>'"]),
  ]),
  { fn: 'recordRoute', class: 'armReply', script: 'msg.recordRoute()', live: 'true' },
];

const asks: Row[] = [
  ...rowsOf('tCheckStatus', 'status', 'msg.tCheckStatus(?)', all('value true', ["'486'", "'^4[0-9][0-9]$'", '486', '/^4/', "''"])),
  ...rowsOf('tCheckStatus', 'fixed', 'msg.tCheckStatus(?)', [
    ...all('value false', ["'5[0-9][0-9]'", '200', '4860', 'NaN', '/^6/', "'__proto__'"]),
    ...notText.filter(([value]) => value !== '7'),
    ...all('TypeError', ["'('", "'[9-0]'", "'*'"]),
  ]),
  { fn: 'tIsCanceled', class: 'cancelled', script: 'msg.tIsCanceled()', live: 'value false' },
  { fn: 'tCheckTrans', class: 'check', script: 'msg.tCheckTrans()', live: 'value true' },
];

const numbersOfNone = ['-1', '0.5', 'NaN', 'Infinity', '-Infinity', '2 ** 32', '1e300', '2 ** 32 - 1'];
const notHandle: Kinds = [...notNumber, ...all('TypeError', ["''", "'1'", "'__proto__'", "new Number(1)"])];
/** `tContinue` with what names no call; the proxy has it, too. */
const continueRows: Row[] = [
  ...rowsOf('tContinue', 'fixed', "msg.tContinue(?, 0, 'RESUME')", [...notHandle, ...all('false STALE_HANDLE', numbersOfNone)]),
  ...rowsOf('tContinue', 'fixed', "msg.tContinue(0, ?, 'RESUME')", [...notHandle, ...all('false STALE_HANDLE', numbersOfNone)]),
  ...rowsOf('tContinue', 'fixed', 'msg.tContinue(2 ** 32 - 1, 0, ?)', [...notText, ...routes]),
];
const openRow = (script: string): Row => ({ fn: 'tSuspend', class: 'suspend', script, live: 'value object', answer: 404 });
const opens: Row[] = [
  openRow('continued(msg, msg.tSuspend())'),
  openRow("continued(msg, msg.tSuspend('ignored'))"),
  ...continueRows,
  {
    fn: 'tContinue', class: 'continue', script: "msg.tContinue(msg.index, msg.generation, 'RESUME')", live: 'false NOT_SUSPENDED',
  },
  ...rowsOf('tCancelSuspend', 'fixed', 'msg.tCancelSuspend(?, msg.generation)', [
    ...notHandle, ...all('false NOT_SUSPENDED', numbersOfNone),
  ]),
  ...rowsOf('tCancelSuspend', 'fixed', 'msg.tCancelSuspend(msg.index, ?)', [
    ...notHandle, ...all('false NOT_SUSPENDED', [...numbersOfNone, 'msg.generation + 1']),
  ]),
  {
    fn: 'tCancelSuspend', class: 'undo', script: 'msg.tCancelSuspend(msg.index, msg.generation)', live: 'false NOT_SUSPENDED',
  },
];

const sworker: Row[] = [
  ...rowsOf('sworkerTask', 'sworker', 'msg.sworkerTask(?)', [
    ...all('false WRONG_ROUTE', ["'work'", "'default'", ...strangeNames]), ...notText,
  ]),
  { fn: 'sworkerActive', class: 'read', script: 'msg.sworkerActive()', live: 'value false' },
];

/** What the proxy has as well. */
export const proxyRows: Row[] = [...taskRows, ...continueRows];

/** Every function of a message, with every kind of argument. */
export const messageRows: Row[] = [
  ...suspends,
  ...statements,
  ...taskRows,
  ...replies,
  ...rowsOf('appendToReply', 'append', 'msg.appendToReply(?)', lines),
  { fn: 'tNewtran', class: 'newtran', script: 'msg.tNewtran()', live: 'true' },
  { fn: 'exit', class: 'end', script: 'msg.exit()', live: 'ends', answer: 500 },
  { fn: 'exit', class: 'end', script: "msg.exit('ignored')", live: 'ends', answer: 500 },
  { fn: 'drop', class: 'end', script: 'msg.drop()', live: 'ends', answer: 0 },
  ...changes,
  ...stored,
  ...flags,
  ...reads,
  ...relays,
  ...arms,
  ...asks,
  ...opens,
  ...sworker,
];
