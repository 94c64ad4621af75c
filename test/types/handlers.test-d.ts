// Checked by `npm run types`, never run.
import { defineProxy } from 'sip-async';
import type { Message, ProxyDefinition, RouteHandler } from 'sip-async';
import { expectTypeOf } from 'vitest';

// ---- handlers that stand apart from the definition ---------------------------------------------------------------------

function anyMessage(msg: Message): void {
  msg.asyncRoute('whatever it is', 1);
  msg.asyncTaskGroupRoute('whatever it is', 'any');
}
async function anyMessageLater(msg: Message): Promise<void> {
  await msg.asyncSleep(1);
}
function named(msg: Message<'RESUME'>): void {
  msg.asyncRoute('RESUME', 1);
  // @ts-expect-error misspelt
  msg.asyncRoute('RESUEM', 1);
}
function misspelt(msg: Message<'RESUEM'>): void {
  msg.asyncRoute('RESUEM', 1);
}
function grouped(msg: Message<'RESUME', 'abc'>): void {
  msg.asyncTaskGroupRoute('RESUME', 'abc');
}
const typed: RouteHandler = (msg) => msg.asyncRoute('whatever it is', 1);
const typedNamed: RouteHandler<'RESUME' | 'LATER', 'abc'> = (msg) => {
  msg.asyncTaskGroupRoute('LATER', 'abc');
  // @ts-expect-error misspelt
  msg.asyncTaskGroupRoute('LATER', 'acb');
};

// They do not widen what the others know.
defineProxy({
  asyncWorkersGroup: ['name=abc;workers=1'],
  requestRoute(msg) {
    expectTypeOf(msg).toEqualTypeOf<Message<'RESUME' | 'LATER' | 'TYPED' | 'NAMED', 'abc', 'A' | 'B' | 'C'>>();
    anyMessage(msg);
    named(msg);
    grouped(msg);
    // @ts-expect-error misspelt
    msg.asyncRoute('RESUEM', 1);
  },
  route: { RESUME: anyMessage, LATER: anyMessageLater, TYPED: typed, NAMED: named },
  failureRoute: { A: typedNamed, B: grouped, C: named },
});
defineProxy({ requestRoute: anyMessageLater, route: { RESUME: anyMessage } });
defineProxy({ requestRoute: anyMessage });
defineProxy({ requestRoute: named, route: { RESUME() {} } });
// @ts-expect-error the handler names a route that the definition has not
defineProxy({ requestRoute: misspelt, route: { RESUME() {} } });
// @ts-expect-error not a handler of messages
defineProxy({ requestRoute: (text: string) => text, route: {} });

// A handler that is sometimes the one and sometimes the other.
const either = Math.random() < 0.5 ? anyMessage : anyMessageLater;
declare const syncOrAsync: (msg: Message) => void | Promise<void>;
defineProxy({
  requestRoute: either,
  route: { EITHER: either, DECLARED: syncOrAsync, INLINE: (msg) => (msg.isRequest ? undefined : msg.asyncSleep(1)) },
});

// ---- routes that come from elsewhere -----------------------------------------------------------------------------------

const shared = { SHARED: anyMessage, async COMMON() {} };
defineProxy({
  requestRoute(msg) {
    expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'SHARED' | 'COMMON' | 'OWN'>();
  },
  route: {
    ...shared,
    OWN(msg) {
      msg.asyncRoute('COMMON', 1);
      // @ts-expect-error misspelt
      msg.asyncRoute('COMON', 1);
    },
  },
});
defineProxy({
  route: shared,
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'SHARED' | 'COMMON'>(),
});

// Routes that are there only sometimes.
declare const debug: boolean;
const traced = { TRACE: anyMessage };
defineProxy({
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'TRACE' | 'OWN'>(),
  route: { ...(debug ? traced : {}), OWN() {} },
});
defineProxy({
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'SHARED' | 'COMMON' | 'TRACE'>(),
  route: debug ? traced : shared,
});
// TypeScript wants the type of these handlers before it has seen the rest: nothing is checked, and nothing is refused.
defineProxy({
  asyncWorkers: 2,
  asyncWorkersGroup: ['name=abc;workers=4', { name: 'def', workers: 1 }],
  asyncTkvGname: 'tkv',
  requestRoute: (msg) => msg.asyncTaskGroupRoute('OWN', 'abc'),
  route: { ...(debug ? { TRACE: (msg) => msg.asyncRoute('OWN', 1) } : {}), OWN() {} },
});

// Where the names are not known, any text is taken.
declare const records: Record<string, RouteHandler>;
declare const optionalRecords: Readonly<Record<string, (msg: Message) => void>> | undefined;
defineProxy({
  route: records,
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<string>(),
});
defineProxy({
  // TypeScript forgets that a spread has names which it does not know; the type argument says so.
  route: { ...records, OWN() {} },
  // @ts-expect-error one of them
  requestRoute: (msg) => msg.asyncRoute('OF RECORDS', 1),
});
defineProxy<string>({
  route: { ...records, OWN() {} },
  requestRoute: (msg) => msg.asyncRoute('OF RECORDS', 1),
});
defineProxy({
  route: { ...optionalRecords },
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<string>(),
});
defineProxy({
  route: Object.fromEntries(['A', 'B'].map((name) => [name, anyMessage])),
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<string>(),
});
defineProxy({
  route: { 1() {}, OWN() {} },
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<string>(),
});
defineProxy({
  route: { '1'() {}, OWN() {} },
  requestRoute: (msg) => expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'1' | 'OWN'>(),
});

// ---- definitions that come from elsewhere --------------------------------------------------------------------------------

const whole = {
  listen: ['udp:127.0.0.1:0'],
  asyncWorkersGroup: ['name=abc;workers=4'],
  requestRoute: anyMessage,
  route: { RESUME: anyMessage },
};
expectTypeOf(defineProxy(whole).requestRoute).toEqualTypeOf<RouteHandler<'RESUME'> | undefined>();

const constant = {
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=abc;workers=4', { name: 'def', workers: 1 }],
  requestRoute: anyMessage,
  route: { RESUME: anyMessage },
} as const;
expectTypeOf(defineProxy(constant).requestRoute).toEqualTypeOf<
  RouteHandler<'RESUME', 'default' | 'abc' | 'def'> | undefined
>();
defineProxy(Object.freeze({ requestRoute: anyMessage, route: Object.freeze({ RESUME: anyMessage }) }));

declare const unnamed: ProxyDefinition;
expectTypeOf(defineProxy(unnamed)).toExtend<ProxyDefinition>();
const again: ProxyDefinition = defineProxy(defineProxy(constant));
defineProxy({ ...again, requestRoute: (msg) => msg.asyncRoute('whatever it is', 1) });

const satisfied = {
  requestRoute: (msg) => msg.asyncRoute('RESUME', 1),
  route: { RESUME() {} },
} satisfies ProxyDefinition<'RESUME'>;
defineProxy(satisfied);

// A definition that adds to another.
const base = defineProxy({ asyncWorkers: 1, requestRoute: anyMessage, route: { BASE() {} }, failureRoute: { F() {} } });
defineProxy({
  ...base,
  route: {
    ...base.route,
    OWN(msg) {
      expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'BASE' | 'OWN'>();
    },
  },
});

// Any definition goes where one of unknown names is wanted.
function takesAny(definition: ProxyDefinition): ProxyDefinition {
  return definition;
}
takesAny(defineProxy({ asyncWorkers: 1, route: { A() {} }, failureRoute: { F() {} } }));
takesAny(defineProxy({}));
