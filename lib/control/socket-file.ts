import { lstatSync, unlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { chmod, link, lstat, mkdtemp, rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { dirname, join } from 'node:path';
import { makeError } from '../errors.ts';
import { PRIVATE_FOLDER_PREFIX, PRIVATE_NAME } from './path.ts';

/** Others may keep putting sockets there; then it is theirs. */
const MOST_ATTEMPTS = 5;

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

// The number of a file that is gone may be given to the next one; its time is another.
function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.mtimeNs === b.mtimeNs;
}

/** Whether a process listens on the socket. @throws Error when that cannot be found out */
async function isLive(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') return false;
    throw error;
  } finally {
    socket.destroy();
  }
}

/** Takes away the socket that a dead process has left at the path; anything else there is an error. */
async function clear(path: string, folder: string): Promise<void> {
  const found = await lstat(path, { bigint: true });
  if (!found.isSocket()) throw failure('EEXIST', 'a file that is no socket is there');
  if (await isLive(path)) throw failure('EADDRINUSE', 'a running process listens there');
  const away = join(folder, 'away');
  await rename(path, away);
  // Between the look and the move another proxy may have put its own there: it gets it back.
  if (!isSame(found, await lstat(away, { bigint: true }))) await link(away, path);
  await rm(away);
}

async function place(path: string, hidden: string, folder: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // Unlike a rename, a link never replaces what is there.
      return await link(hidden, path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || attempt === MOST_ATTEMPTS) throw error;
    }
    try {
      await clear(path, folder);
    } catch (error) {
      // Gone meanwhile, which is what was wanted.
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

/** The file of a Unix socket on which a server listens. */
export class SocketFile {
  readonly path: string;
  readonly #own: BigIntStats;

  private constructor(path: string, own: BigIntStats) {
    this.path = path;
    this.#own = own;
  }

  /**
   * Makes the server listen at the path, with mode 0600. The socket is made in a folder that is closed to others and linked
   * to its place when it is complete: a chmod in place would be late, and the umask belongs to the whole process.
   *
   * @throws SipAsyncError `LISTEN`; then nothing was changed
   */
  static async listen(server: Server, path: string): Promise<SocketFile> {
    let folder: string | undefined;
    try {
      folder = await mkdtemp(join(dirname(path), PRIVATE_FOLDER_PREFIX));
      const hidden = join(folder, PRIVATE_NAME);
      server.listen({ path: hidden, exclusive: true });
      await once(server, 'listening');
      await chmod(hidden, 0o600);
      const own = await lstat(hidden, { bigint: true });
      await place(path, hidden, folder);
      return new SocketFile(path, own);
    } catch (cause) {
      server.close();
      throw makeError('LISTEN', `control socket ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    } finally {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    }
  }

  /** Removes the file, unless it is another's by now. */
  remove(): void {
    try {
      if (isSame(this.#own, lstatSync(this.path, { bigint: true }))) unlinkSync(this.path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}
