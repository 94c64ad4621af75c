#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { SipAsyncError } from '../errors.ts';
import { parseCliArgs, USAGE } from './args.ts';
import { run } from './run.ts';

/** Exit codes: 0 as asked, 1 something failed, 2 the command line or the configuration is wrong. */
async function main(): Promise<number> {
  const args = parseCliArgs(process.argv.slice(2));
  if (!args.ok) {
    process.stderr.write(`sip-async: ${args.message}\ntry: sip-async --help\n`);
    return 2;
  }
  if (args.command === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (args.command === 'version') {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    process.stdout.write(`${(JSON.parse(text) as { version: string }).version}\n`);
    return 0;
  }
  try {
    return await run(args);
  } catch (error) {
    if (!(error instanceof SipAsyncError)) throw error;
    process.stderr.write(`sip-async: ${error.code}: ${error.message}\n`);
    return error.code === 'SIPASYNC_ERR_CONFIG' ? 2 : 1;
  }
}

// Not process.exit(): what was written must be out, and what still runs should be seen.
process.exitCode = await main();
