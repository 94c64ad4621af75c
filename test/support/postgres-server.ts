import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess, freeTcpPort, identity } from './server-process.ts';

const versions = '/usr/lib/postgresql';

function programs(): string {
  const folders = readdirSync(versions).map((version) => join(versions, version, 'bin'));
  const found = folders.filter((folder) => existsSync(join(folder, 'postgres')));
  const last = found.sort().at(-1);
  if (last === undefined) throw new Error('no PostgreSQL server');
  return last;
}

/** A PostgreSQL of the test's own, in a directory of its own. */
export class PostgresServer {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ServerProcess;

  private constructor(port: number, folder: string, process: ServerProcess) {
    this.port = port;
    this.#folder = folder;
    this.#process = process;
  }

  get url(): string {
    return `postgres://tester@127.0.0.1:${this.port}/postgres`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  static async start(): Promise<PostgresServer> {
    // The server refuses to run as root.
    const user = identity('postgres');
    const folder = mkdtempSync(join(tmpdir(), 'sip-async-postgres-'));
    chmodSync(folder, 0o755);
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid!);
    const data = join(folder, 'data');
    const choices = ['-U', 'tester', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C'];
    const made = spawnSync(join(programs(), 'initdb'), ['-D', data, ...choices], { ...user, cwd: folder, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`initdb: ${made.error?.message ?? made.stderr}`);
    const port = await freeTcpPort();
    const settings = {
      port, listen_addresses: '127.0.0.1', unix_socket_directories: folder, fsync: 'off', max_connections: 40, jit: 'off',
    };
    const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    const server = new ServerProcess(join(programs(), 'postgres'), args, { ...user, cwd: folder });
    await server.said(/database system is ready to accept connections/);
    return new PostgresServer(port, folder, server);
  }

  async stop(): Promise<void> {
    // Does not wait for its clients.
    await this.#process.stop('SIGINT');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
