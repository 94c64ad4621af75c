import { spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root folder, without a trailing slash. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/**
 * Looks a command up on the path without running it: a broken or hostile tool must not be started
 * only to learn whether it is there.
 */
export function onPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    if (folder === '') return false;
    const file = join(folder, command);
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/**
 * Runs a command with its output shown. Returns true when it ended with 0; says why when it did not start or was
 * ended by a signal, because neither leaves a trace of its own.
 */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: root, ...options });
  if (result.error) console.error(`${command}: ${result.error.message}`);
  else if (result.signal) console.error(`${command}: ended by ${result.signal}`);
  return result.status === 0;
}
