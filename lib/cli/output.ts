import { ControlClient } from '../control/client.ts';

/** Columns of the terminal; `Infinity` when standard output is none. */
export function terminalWidth(): number {
  return (process.stdout.isTTY && process.stdout.columns) || Infinity;
}

/** Connects to a running proxy for as long as `work` takes. @throws SipAsyncError `UNREACHABLE` and what `work` throws */
export async function withProxy<T>(control: string, work: (client: ControlClient) => Promise<T>): Promise<T> {
  const client = await ControlClient.open(control);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Writes to standard output; whoever reads it may have seen enough, as `head` does. */
export function print(text: string): void {
  if (process.stdout.listenerCount('error') === 0) {
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  process.stdout.write(text);
}
