import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess, freeTcpPort, identity } from './server-process.ts';

/** A MariaDB of the test's own, in a directory of its own; its one user needs no password. */
export class MariadbServer {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ServerProcess;

  private constructor(port: number, folder: string, process: ServerProcess) {
    this.port = port;
    this.#folder = folder;
    this.#process = process;
  }

  get url(): string {
    return `mariadb://tester@127.0.0.1:${this.port}/test`;
  }

  static async start(): Promise<MariadbServer> {
    const user = identity('nobody');
    const folder = mkdtempSync(join(tmpdir(), 'sip-async-mariadb-'));
    chmodSync(folder, 0o755);
    const data = join(folder, 'data');
    const init = join(folder, 'init.sql');
    writeFileSync(init, "CREATE DATABASE test;\nCREATE USER tester@'%' IDENTIFIED BY '';\nGRANT ALL ON *.* TO tester@'%';\n");
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid!);
    const innodb = ['--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=16M'];
    const options = [`--datadir=${data}`, '--skip-name-resolve', ...innodb];
    mkdirSync(data);
    if (user.uid !== undefined) chownSync(data, user.uid, user.gid!);
    // What mariadb-install-db does, which needs programs of other packages.
    const names = ['mysql_system_tables.sql', 'mysql_system_tables_data.sql'];
    const tables = names.map((name) => readFileSync(join('/usr/share/mysql', name), 'utf8'));
    const made = spawnSync('/usr/sbin/mariadbd', ['--no-defaults', '--bootstrap', '--skip-grant-tables', ...options], {
      ...user,
      cwd: folder,
      input: ['CREATE DATABASE mysql;', 'USE mysql;', "SET @auth_root_socket = NULL;", ...tables].join('\n'),
      encoding: 'utf8',
    });
    if (made.status !== 0) throw new Error(`mariadbd --bootstrap: ${made.error?.message ?? made.stderr + made.stdout}`);
    const port = await freeTcpPort();
    const server = new ServerProcess(
      '/usr/sbin/mariadbd',
      ['--no-defaults', ...options, '--bind-address=127.0.0.1', `--port=${port}`, `--socket=${join(folder, 'socket')}`,
        `--pid-file=${join(folder, 'pid')}`, `--init-file=${init}`],
      { ...user, cwd: folder },
    );
    await server.said(/ready for connections/);
    return new MariadbServer(port, folder, server);
  }

  async stop(): Promise<void> {
    await this.#process.stop('SIGTERM');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
