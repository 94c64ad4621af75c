import { dirname, resolve } from 'node:path';
import { mismatch } from '../config/faults.ts';

/** What a socket address of Linux has room for, its closing zero byte taken off. */
const MAX_PATH_BYTES = 107;
/** Beside the socket's final place it is made in a folder of this name, and six more characters. */
export const PRIVATE_FOLDER_PREFIX = '.sip-';
/** Name of the socket in that folder. */
export const PRIVATE_NAME = 's';

const PRIVATE_BYTES = `/${PRIVATE_FOLDER_PREFIX}xxxxxx/${PRIVATE_NAME}`.length;
const MAX_FOLDER_BYTES = MAX_PATH_BYTES - PRIVATE_BYTES;

/**
 * Reads the path of a control socket. A relative one is resolved against the working directory.
 *
 * @returns the absolute path, or what is wrong with it
 */
export function parseControlPath(input: unknown): { path: string } | { fault: string } {
  const wrong = mismatch('the path of a Unix socket', input);
  // A path that begins with a zero byte would be a socket that any user could connect to.
  if (typeof input !== 'string' || input === '' || input.includes('\0')) return { fault: wrong };
  const path = resolve(input);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    return { fault: `the path of a Unix socket takes at most ${MAX_PATH_BYTES} bytes, this one ${bytes}` };
  }
  const folderBytes = Buffer.byteLength(dirname(path));
  if (folderBytes > MAX_FOLDER_BYTES) {
    return { fault: `the folder of a Unix socket takes at most ${MAX_FOLDER_BYTES} bytes, this one ${folderBytes}` };
  }
  return { path };
}
