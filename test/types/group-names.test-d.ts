// Checked by `npm run types`, never run.
import { defineProxy } from 'sip-async';
import type { GroupDefinition, Message } from 'sip-async';
import { expectTypeOf } from 'vitest';

const route = { R() {} };

// ---- all the spellings of a group ----------------------------------------------------------------------------------------

defineProxy({
  asyncWorkers: 2,
  asyncWorkersGroup: [
    'name=abc;workers=4;nonblock=0;usleep=0',
    { name: 'def', workers: 1 },
    ' workers=1; Name = "spaced out" ;',
    "NAME='quoted';workers=1",
    'workers=2;name=last',
  ],
  asyncTkvGname: 'tkv',
  requestRoute(msg) {
    expectTypeOf(msg.asyncTaskGroupRoute)
      .parameter(1)
      .toEqualTypeOf<'default' | 'abc' | 'def' | 'spaced out' | 'quoted' | 'last' | 'tkv'>();
    msg.asyncTaskGroupRoute('R', 'abc');
    // @ts-expect-error misspelt
    msg.asyncTaskGroupRoute('R', 'acb');
    msg.asyncTaskGroupData('R', 'abc', 'data');
    // @ts-expect-error misspelt
    msg.asyncTaskGroupData('R', 'acb', 'data');
  },
  route: {
    async R(msg) {
      msg.asyncTaskGroupRoute('R', 'def');
      // @ts-expect-error misspelt
      msg.asyncTaskGroupRoute('R', 'Def');
    },
  },
  failureRoute: {
    F(msg) {
      msg.asyncTaskGroupRoute('R', 'default');
      // @ts-expect-error misspelt
      msg.asyncTaskGroupRoute('R', 'defualt');
    },
  },
});

defineProxy({
  route,
  asyncWorkersGroup: 'name=only;workers=1',
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'only'>>(),
});
defineProxy({
  route,
  asyncWorkersGroup: { name: 'only', workers: 1, maxQueue: 10 },
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'only'>>(),
});
defineProxy({
  route,
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'default'>>(),
  asyncWorkers: Number(process.env['WORKERS']),
});
defineProxy({
  route,
  asyncWorkers: 0,
  asyncWorkersGroup: ['name=a;workers=1'],
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'a'>>(),
});

defineProxy({
  route,
  asyncWorkersGroup: [{ name: 'a', workers: 1 }, { name: 'b', workers: 1 }],
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'a' | 'b'>>(),
});
defineProxy({
  route,
  asyncWorkersGroup: (['a', 'b'] as const).map((name) => ({ name, workers: 1 })),
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'a' | 'b'>>(),
});

// Groups that are constants elsewhere.
const groups = ['name=a;workers=1', { name: 'b', workers: 1 }] as const;
defineProxy({
  route,
  asyncWorkersGroup: groups,
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'a' | 'b'>>(),
});
defineProxy({
  route,
  asyncWorkersGroup: [...groups, `name=c;workers=${4}`],
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'a' | 'b' | 'c'>>(),
});

// ---- a name that is not literal: any text is taken -------------------------------------------------------------------------

declare const text: string;
declare const count: number;
declare const group: GroupDefinition;
const wide = { asyncWorkersGroup: ['name=abc;workers=4'] };

defineProxy({ route, asyncWorkersGroup: text, requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
defineProxy({ route, asyncWorkersGroup: group, requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
defineProxy({ route, asyncWorkersGroup: [group], requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
defineProxy({ route, ...wide, requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
defineProxy({
  route,
  asyncWorkers: 1,
  asyncWorkersGroup: ['name=abc;workers=4', { name: 'def', workers: 1 }, text],
  requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any'),
});
defineProxy({
  route,
  asyncWorkersGroup: ['name=abc;workers=4'],
  asyncTkvGname: text,
  requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any'),
});
// What is no group is a fault when the proxy starts; its type says nothing.
defineProxy({ route, asyncWorkersGroup: 'workers=4', requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
// Groups may all come from the command line.
defineProxy({ route, requestRoute: (msg) => msg.asyncTaskGroupRoute('R', 'any') });
// The number of workers is not the name.
defineProxy({
  route,
  asyncWorkersGroup: [`name=abc;workers=${count}` as const],
  requestRoute: (msg) => expectTypeOf(msg).toEqualTypeOf<Message<'R', 'abc'>>(),
});

// ---- what is no group ------------------------------------------------------------------------------------------------------

// @ts-expect-error a group needs workers
defineProxy({ asyncWorkersGroup: { name: 'abc' } });
// @ts-expect-error a misspelt member
defineProxy({ asyncWorkersGroup: [{ name: 'abc', workers: 1, maxQeue: 1 }] });
// @ts-expect-error a misspelt member
defineProxy({ asyncWorkersGroup: ['name=def;workers=1', { name: 'abc', workers: 1, maxQeue: 1 }] });
// @ts-expect-error not a group
defineProxy({ asyncWorkersGroup: [1] });
// @ts-expect-error not a number
defineProxy({ asyncWorkers: '2' });
