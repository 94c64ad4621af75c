#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { SipAsyncError } from '../errors.ts';
import { parseCliArgs, USAGE } from './args.ts';
import type { CliArgs } from './args.ts';

// Each command is loaded when it is asked for: those that look into a running proxy need not wait for the addon.
async function perform(args: Extract<CliArgs, { ok: true }>): Promise<number> {
  switch (args.command) {
    case 'help':
      process.stdout.write(USAGE);
      return 0;
    case 'version': {
      const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
      process.stdout.write(`${(JSON.parse(text) as { version: string }).version}\n`);
      return 0;
    }
    case 'run':
      return (await import('./run.ts')).run(args);
    case 'ps':
      return (await import('./ps.ts')).ps(args);
    case 'cancel':
      return (await import('./cancel.ts')).cancel(args);
    case 'stats':
      return (await import('./stats.ts')).stats(args);
  }
}

/** Exit codes: 0 as asked, 1 something failed, 2 the command line or the configuration is wrong. */
async function main(): Promise<number> {
  const args = parseCliArgs(process.argv.slice(2), process.env);
  if (!args.ok) {
    process.stderr.write(`sip-async: ${args.message}\ntry: sip-async --help\n`);
    return 2;
  }
  try {
    return await perform(args);
  } catch (error) {
    if (!(error instanceof SipAsyncError)) throw error;
    process.stderr.write(`sip-async: ${error.code}: ${error.message}\n`);
    return error.code === 'SIPASYNC_ERR_CONFIG' ? 2 : 1;
  }
}

// Not process.exit(): what was written must be out, and what still runs should be seen.
process.exitCode = await main();
