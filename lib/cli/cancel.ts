import { SipAsyncError } from '../errors.ts';
import type { CancelArgs } from './args.ts';
import { print, withProxy } from './output.ts';
import { printable } from './table.ts';

/** Ends what waits in a running proxy; a line for each handle. */
export function cancel({ control, handles }: CancelArgs): Promise<number> {
  return withProxy(control, async (client) => {
    let exitCode = 0;
    for (const handle of handles) {
      const name = `${handle.index}:${handle.label}`;
      try {
        await client.ask({ command: 'cancel', handle });
        print(`${name} cancelled\n`);
      } catch (error) {
        // What has no answer is no refusal: the rest would have none either.
        if (!(error instanceof SipAsyncError) || error.code === 'SIPASYNC_ERR_UNREACHABLE') throw error;
        print(`${name} refused: ${error.code}: ${printable(error.message)}\n`);
        exitCode = 1;
      }
    }
    return exitCode;
  });
}
