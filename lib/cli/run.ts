import { startProxyWith } from '../proxy.ts';
import type { Proxy } from '../proxy.ts';
import type { RunArgs } from './args.ts';

/** What is logged when neither the module nor the command line says: a proxy that fails should say so. */
const DEFAULT_LOG = 'warn';
const GRACE_MS = 1000;

function hint(proxy: Proxy): string {
  // The example speaks UDP.
  const address = proxy.addresses.find(({ transport }) => transport === 'udp');
  if (address === undefined) return '';
  return `try it: node examples/call.mjs ${String(address)}\n`;
}

/** Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal ends the draining. */
export async function run(args: RunArgs): Promise<number> {
  const proxy = await startProxyWith(args.modulePath, args.overrides, DEFAULT_LOG);
  const stopped = new Promise<void>((resolve) => {
    let closing: Promise<void> | undefined;
    const onSignal = () => {
      // A signal after the first takes all patience away.
      const timeoutMs = closing === undefined ? args.timeoutMs : 0;
      const closed = proxy.close(timeoutMs === null ? {} : { timeoutMs });
      closing ??= closed.then(({ answered, dropped }) => {
        if (answered > 0) process.stderr.write(`sip-async: open calls answered 503: ${answered}\n`);
        if (dropped > 0) process.stderr.write(`sip-async: data tasks dropped: ${dropped}\n`);
        resolve();
      });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  // Whoever reads these lines may send a signal at once, so they come last and in one piece.
  const lines = proxy.addresses.map((address) => `listening on ${String(address)}\n`).join('');
  process.stdout.write(args.hint ? lines + hint(proxy) : lines);

  await stopped;
  // What the module still keeps alive in this thread (a timer, a connection) has had its chance, as in the workers.
  setTimeout(() => process.exit(0), GRACE_MS).unref();
  return 0;
}
