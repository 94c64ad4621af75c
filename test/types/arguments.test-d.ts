// Checked by `npm run types`, never run. The same table with values is test/failures.types.test.ts.
import { startProxy } from 'sip-async';
import type { Message, Proxy, SipAsyncError } from 'sip-async';
import { expectTypeOf } from 'vitest';

declare const msg: Message;
declare const proxy: Proxy;

export async function calls(): Promise<void> {
  expectTypeOf(msg.asyncRoute('R', 4)).toEqualTypeOf<boolean>();
  msg.asyncRoute('R', '4');
  // @ts-expect-error no time
  msg.asyncRoute('R');
  // @ts-expect-error a name is a string
  msg.asyncRoute(1, 4);
  // @ts-expect-error a time is a number or a string
  msg.asyncRoute('R', 4n);
  // @ts-expect-error a time is a number or a string
  msg.asyncRoute('R', null);
  // @ts-expect-error a third argument
  msg.asyncRoute('R', 4, 'abc');

  expectTypeOf(msg.asyncMsRoute('R', 250)).toEqualTypeOf<boolean>();
  // @ts-expect-error no time
  msg.asyncMsRoute('R');
  // @ts-expect-error a name is a string
  msg.asyncMsRoute(undefined, 250);
  // @ts-expect-error a time is a number or a string
  msg.asyncMsRoute('R', new Date());

  expectTypeOf(msg.asyncTaskRoute('R')).toEqualTypeOf<boolean>();
  // @ts-expect-error no name
  msg.asyncTaskRoute();
  // @ts-expect-error a name is a string
  msg.asyncTaskRoute(['R']);

  expectTypeOf(msg.asyncTaskGroupRoute('R', 'abc')).toEqualTypeOf<boolean>();
  // @ts-expect-error no group
  msg.asyncTaskGroupRoute('R');
  // @ts-expect-error a name is a string
  msg.asyncTaskGroupRoute(null, 'abc');
  // @ts-expect-error a name is a string
  msg.asyncTaskGroupRoute('R', 1);

  expectTypeOf(msg.asyncTaskData('R', 'data')).toEqualTypeOf<boolean>();
  msg.asyncTaskData('R', new Uint8Array(4));
  // @ts-expect-error no data
  msg.asyncTaskData('R');
  // @ts-expect-error data is a string or bytes
  msg.asyncTaskData('R', { user: 'alice' });
  // @ts-expect-error data is a string or bytes
  msg.asyncTaskGroupData('R', 'abc', 4);
  // @ts-expect-error a name is a string
  msg.asyncTaskGroupData('R', null, 'data');
  expectTypeOf(msg.asyncTkvEmit(1, 'key', 'value')).toEqualTypeOf<boolean>();
  // @ts-expect-error a type is a number
  msg.asyncTkvEmit('1', 'key', 'value');
  // @ts-expect-error a value is a string
  msg.asyncTkvEmit(1, 'key', 1);

  expectTypeOf(msg.asyncSleep('4')).toEqualTypeOf<Promise<boolean>>();
  // @ts-expect-error no time
  await msg.asyncSleep();
  // @ts-expect-error a time is a number or a string
  await msg.asyncSleep(true);
  expectTypeOf(await msg.asyncMsSleep(4)).toEqualTypeOf<boolean>();
  // @ts-expect-error a time is a number or a string
  await msg.asyncMsSleep({ ms: 4 });

  expectTypeOf(msg.sendReply(404)).toEqualTypeOf<boolean>();
  msg.sendReply(404, 'Not Found');
  // @ts-expect-error a status is a number
  msg.sendReply('404', 'Not Found');
  // @ts-expect-error a phrase is a string
  msg.sendReply(404, 404);
  // @ts-expect-error a status is a number
  msg.tReply('404');
  // @ts-expect-error a phrase is a string
  msg.slSendReply(404, null);
  // @ts-expect-error it takes none
  msg.slReplyError(500);
  // @ts-expect-error a line is a string
  msg.appendToReply(1);
  // @ts-expect-error it takes none
  msg.tNewtran(1);

  expectTypeOf(msg.asyncError).toEqualTypeOf<SipAsyncError | null>();
  // @ts-expect-error only read
  msg.asyncError = null;
  expectTypeOf(msg.header('via')).toEqualTypeOf<string | null>();
  // @ts-expect-error a name is a string
  msg.header(1);
  // @ts-expect-error no name
  msg.headers();

  // @ts-expect-error a module is a URL or a path
  await startProxy(1);
  // @ts-expect-error routes come from the proxy module only
  await startProxy('proxy.mjs', { requestRoute() {} });
  // @ts-expect-error a time is a number
  await proxy.close({ timeoutMs: '1' });
}

export function ends(): number {
  // Nothing is missing behind these: they do not return.
  if (msg.isRequest) return msg.exit();
  return msg.drop();
}
