// Checked by `npm run types`, never run. Each @ts-expect-error has a right twin next to it, so that the error can only be
// the name.
import { defineProxy } from 'sip-async';
import type { Message, ProxyDefinition } from 'sip-async';
import { expectTypeOf } from 'vitest';

// ---- every handler of a definition knows the names of `route` ----------------------------------------------------------

defineProxy({
  requestRoute(msg) {
    expectTypeOf(msg.asyncRoute).parameter(0).toEqualTypeOf<'RESUME' | 'LATER'>();
    msg.asyncRoute('RESUME', 4);
    msg.asyncRoute('LATER', '4');
    // @ts-expect-error misspelt
    msg.asyncRoute('RESUEM', 4);
    // @ts-expect-error a block of failureRoute is no block of route
    msg.asyncRoute('FAILED', 4);
    msg.asyncMsRoute('RESUME', 250);
    // @ts-expect-error misspelt
    msg.asyncMsRoute('RESUEM', 250);
    msg.asyncTaskRoute('RESUME');
    // @ts-expect-error misspelt
    msg.asyncTaskRoute('RESUEM');
    msg.asyncTaskGroupRoute('RESUME', 'any');
    // @ts-expect-error misspelt
    msg.asyncTaskGroupRoute('RESUEM', 'any');
    msg.asyncTaskData('RESUME', 'data');
    // @ts-expect-error misspelt
    msg.asyncTaskData('RESUEM', 'data');
    msg.asyncTaskGroupData('RESUME', 'any', 'data');
    // @ts-expect-error misspelt
    msg.asyncTaskGroupData('RESUEM', 'any', 'data');
  },
  route: {
    RESUME(msg) {
      msg.asyncRoute('LATER', 1);
      // @ts-expect-error misspelt
      msg.asyncRoute('LATTER', 1);
    },
    async LATER(msg) {
      if (!(await msg.asyncSleep(1))) return;
      msg.asyncMsRoute('RESUME', 1);
      // @ts-expect-error misspelt
      msg.asyncMsRoute('resume', 1);
    },
  },
  failureRoute: {
    FAILED(msg) {
      msg.asyncTaskRoute('RESUME');
      // @ts-expect-error misspelt
      msg.asyncTaskRoute('RESUME ');
    },
  },
  onreplyRoute: {
    ANSWERED: (msg) => {
      msg.asyncTaskRoute('RESUME');
      // @ts-expect-error misspelt
      msg.asyncTaskRoute('');
    },
  },
  branchRoute: {
    BRANCH: async (msg) => {
      msg.asyncRoute('RESUME', 1);
      // @ts-expect-error misspelt
      msg.asyncRoute('BRANCH', 1);
    },
  },
  eventRoute: {
    'core:pre-routing'(msg) {
      msg.asyncRoute('RESUME', 1);
      // @ts-expect-error misspelt
      msg.asyncRoute('core:pre-routing', 1);
    },
  },
});

// The order of the members does not matter, and a function in a handler knows the names as well.
defineProxy({
  route: {
    FIRST(msg) {
      const later = (seconds: number) => msg.asyncRoute('SECOND', seconds);
      later(2);
      // @ts-expect-error misspelt
      [1].forEach((seconds) => msg.asyncRoute('SECNOD', seconds));
    },
    SECOND() {},
  },
  requestRoute: async (msg) => {
    expectTypeOf(msg).toEqualTypeOf<Message<'FIRST' | 'SECOND'>>();
    const name = Math.random() < 0.5 ? 'FIRST' : 'SECOND';
    msg.asyncRoute(name, 1);
    const text: string = name;
    // @ts-expect-error a text that is only known when the proxy runs
    msg.asyncRoute(text, 1);
  },
});

// ---- what the definition is afterwards ---------------------------------------------------------------------------------

const named = defineProxy({
  requestRoute() {},
  route: { A() {}, 'with space'() {} },
  failureRoute: { F() {} },
  onreplyRoute: { R() {} },
  branchRoute: { B() {} },
});
expectTypeOf(named).toEqualTypeOf<ProxyDefinition<'A' | 'with space', string, 'F', 'R', 'B'>>();

// ---- definitions without routes ----------------------------------------------------------------------------------------

defineProxy({});
defineProxy({ modparam: { async: { mode: 1 } } });
defineProxy({
  requestRoute(msg) {
    expectTypeOf(msg).toEqualTypeOf<Message>();
    msg.asyncRoute('of routes nothing is known', 4);
  },
});
defineProxy({
  async requestRoute(msg) {
    await msg.asyncSleep(1);
    // @ts-expect-error there is no route
    msg.asyncMsRoute('RESUME', 4);
  },
  route: {},
});

// ---- what is no definition ---------------------------------------------------------------------------------------------

// @ts-expect-error a misspelt member
defineProxy({ requestRout() {} });
// @ts-expect-error a route is a function
defineProxy({ route: { RESUME: 'RESUME' } });
// @ts-expect-error a misspelt parameter of a module
defineProxy({ modparam: { async: { wrokers: 1 } } });
// @ts-expect-error not an object
defineProxy('proxy.mjs');

// ---- failure, reply and branch routes ----------------------------------------------------------------------------------

defineProxy({
  requestRoute(msg) {
    expectTypeOf(msg.tOnFailure).parameter(0).toEqualTypeOf<'BUSY' | 'SILENT' | null>();
    expectTypeOf(msg.tOnReply).parameter(0).toEqualTypeOf<'COUNT' | null>();
    expectTypeOf(msg.tOnBranch).parameter(0).toEqualTypeOf<'TAG' | null>();
    // @ts-expect-error a route block is no failure route
    msg.tOnFailure('RESUME');
    // @ts-expect-error misspelt
    msg.tOnReply('COUNTS');
    const handle = msg.tSuspend();
    if (handle !== false) msg.tContinue(handle.index, handle.label, 'RESUME');
    // @ts-expect-error a failure route is no route block
    msg.tContinue(0, 0, 'BUSY');
  },
  route: { RESUME() {} },
  failureRoute: {
    BUSY(msg) {
      msg.tOnFailure('SILENT');
      // @ts-expect-error misspelt
      msg.tOnFailure('SILNET');
    },
    SILENT() {},
  },
  onreplyRoute: { COUNT() {} },
  branchRoute: { TAG() {} },
});
// Without such blocks nothing is known of their names.
defineProxy({ requestRoute: (msg) => expectTypeOf(msg.tOnFailure).parameter(0).toEqualTypeOf<string | null>() });
