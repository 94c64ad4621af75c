// Checked by `npm run types`, never run.
import { defineProxy } from 'sip-async';
import type { AsyncOptions, LaunchOptions, Message, Operation, OperationStats, Proxy } from 'sip-async';
import { expectTypeOf } from 'vitest';

declare const msg: Message;
declare const proxy: Proxy;
declare const operation: Operation<string>;

export function calls(): void {
  expectTypeOf(msg.async(operation, 'R')).toEqualTypeOf<boolean>();
  msg.async(() => 1, 'R', { timeout: 0.5 });
  msg.async(async (signal) => signal.aborted, 'R', {});
  // @ts-expect-error no route
  msg.async(operation);
  // @ts-expect-error an operation is a function
  msg.async(Promise.resolve(1), 'R');
  // @ts-expect-error a timeout stands in an object
  msg.async(operation, 'R', 5);
  // @ts-expect-error a timeout is a number
  msg.async(operation, 'R', { timeout: '5' });
  // @ts-expect-error nothing reads a text
  msg.async(operation, 'R', { text: 'x' });
  // @ts-expect-error the signal is no number
  msg.async((signal: number) => signal, 'R');

  for (const one of [msg, proxy]) {
    expectTypeOf(one.launch(operation)).toEqualTypeOf<boolean>();
    one.launch(operation, null, { timeout: 1 });
    one.launch(operation, 'R', { timeout: 1, text: 'x' });
    // @ts-expect-error a name is a string
    one.launch(operation, 7);
    // @ts-expect-error a misspelt option
    one.launch(operation, 'R', { timout: 1 });
    // @ts-expect-error a text is a string
    one.launch(operation, 'R', { text: 1 });
  }

  expectTypeOf(msg.rc).toEqualTypeOf<1 | -1 | -2 | null>();
  expectTypeOf(msg.result).toEqualTypeOf<unknown>();
  expectTypeOf(msg.launchText).toEqualTypeOf<string | null>();
  expectTypeOf<LaunchOptions>().toExtend<AsyncOptions>();
  expectTypeOf(proxy.stats().operations).toEqualTypeOf<OperationStats>();
}

export default defineProxy({
  requestRoute(request: Message<'RESUME' | 'REPORT'>) {
    request.async(() => 1, 'RESUME');
    request.launch(() => 1, 'REPORT');
    // @ts-expect-error no such route
    request.async(() => 1, 'RESUM');
    // @ts-expect-error no such route
    request.launch(() => 1, 'REPOR');
  },
  route: { RESUME() {}, REPORT() {} },
});
