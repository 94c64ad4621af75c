import { startProxyWith } from '../proxy.ts';
import type { Proxy } from '../proxy.ts';
import type { CliArgs } from './args.ts';

type RunArgs = Extract<CliArgs, { command: 'run' }>;

/** What is logged when neither the module nor the command line says: a proxy that fails should say so. */
const DEFAULT_LOG = 'warn';

function hint(proxy: Proxy): string {
  const address = proxy.addresses[0];
  if (address === undefined) return '';
  return `try it: node examples/call.mjs ${String(address)}\n`;
}

/** Runs a proxy until SIGTERM or SIGINT, then drains it; a second signal ends the draining. */
export async function run(args: RunArgs): Promise<number> {
  const proxy = await startProxyWith(args.modulePath, args.overrides, DEFAULT_LOG);
  for (const address of proxy.addresses) process.stdout.write(`listening on ${String(address)}\n`);
  if (args.hint) process.stdout.write(hint(proxy));

  await new Promise<void>((stopped) => {
    let asked = false;
    const onSignal = () => {
      const options = asked ? { timeoutMs: 0 } : args.timeoutMs === null ? {} : { timeoutMs: args.timeoutMs };
      asked = true;
      void proxy.close(options).then((report) => {
        if (report.answered > 0) process.stderr.write(`sip-async: ${report.answered} open calls were answered 503\n`);
        process.off('SIGTERM', onSignal);
        process.off('SIGINT', onSignal);
        stopped();
      });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  return 0;
}
