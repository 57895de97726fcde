import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll } from "vitest";
import { newCertificate } from "./certificate.ts";

/** A real server of databases on loopback, for the tests of one file. */
export interface SqlServer {
  readonly port: number;
  /** Where its socket lies. */
  readonly socketDirectory: string;
  /** Of a server with TLS: its certificate, for `localhost` and no other name, signed by itself. */
  readonly certificate: string;
  /** The address of one of its databases, as a user gives it. */
  url(
    database: string,
    as?: {
      readonly user?: string;
      readonly password?: string;
      readonly host?: string;
      readonly port?: number;
    },
  ): string;
  /** Makes a database of a new name, and answers with the name. */
  create(): Promise<string>;
  /** Runs statements, and answers with what they say: lines, fields apart by `|`. */
  run(database: string, sql: string): Promise<string>;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** Every printable special character, blanks at both ends, and letters of two alphabets. */
export const SERVER_PASSWORD = ` p:\\a/s@s#w?o%r&d'"\`$!*()[]{}<>|;,~^+=-_. é日 `;

/** Who runs servers where the tests are root's; it owns nothing else. */
const NOBODY = process.getuid?.() === 0 ? 65_534 : undefined;
const ids = NOBODY === undefined ? {} : { uid: NOBODY, gid: NOBODY };

const ADMIN = "admin";
const LIB = "/usr/lib/postgresql";
const execute = promisify(execFile);

/** The newest PostgreSQL of this machine. */
function postgresPrograms(): string | undefined {
  const majors = existsSync(LIB) ? readdirSync(LIB).sort((a, b) => Number(b) - Number(a)) : [];
  return majors.map((major) => join(LIB, major, "bin")).find((bin) => existsSync(join(bin, "initdb")));
}

/** Of the server in `root`: its own, where it has any. */
function serverPrograms(root: string): string {
  const own = join(root, "programs/bin");
  return existsSync(own) ? own : (postgresPrograms() ?? "");
}

export function whyNoPostgres(): string | undefined {
  return postgresPrograms() ? undefined : "no PostgreSQL here (Debian: postgresql postgresql-client)";
}

export function whyNoMariadb(): string | undefined {
  const isThere = ["/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/mariadb-dump"].every(
    existsSync,
  );
  return isThere ? undefined : "no MariaDB here (Debian: mariadb-server mariadb-client)";
}

type Tls = readonly [certificate: string, key: string];

interface Recipe {
  readonly scheme: string;
  /** Makes an empty cluster in `root`. */
  install(root: string): void;
  /** Program and arguments. @param tls Certificate and key. */
  command(root: string, port: number, tls: Tls | undefined): readonly [string, readonly string[]];
  run(root: string, port: number, database: string, sql: string): Promise<string>;
  /** What makes the user of the tests. */
  readonly setUp: readonly string[];
  readonly firstDatabase: string;
  quote(name: string): string;
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

const POSTGRES: Recipe = {
  scheme: "postgresql",
  install(root) {
    const bin = serverPrograms(root);
    writeFileSync(join(root, "password"), SERVER_PASSWORD, { mode: 0o644 });
    const options = [
      "--no-sync",
      "--encoding=UTF8",
      "--locale=C.UTF-8",
      "--auth-local=trust",
      "--auth-host=scram-sha-256",
    ];
    execFileSync(
      join(bin, "initdb"),
      [...options, `--username=${ADMIN}`, `--pwfile=${join(root, "password")}`, "-D", join(root, "data")],
      { stdio: "pipe", cwd: root, ...ids },
    );
  },
  command: (root, port, tls) => {
    const settings = {
      ...(tls && { ssl: "on", ssl_cert_file: tls[0], ssl_key_file: tls[1] }),
      listen_addresses: "127.0.0.1",
      port,
      unix_socket_directories: root,
      fsync: "off",
      autovacuum: "off",
      shared_buffers: "64MB",
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    return [join(serverPrograms(root), "postgres"), ["-D", join(root, "data"), ...options]];
  },
  async run(root, port, database, sql) {
    const args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql];
    const { PATH } = process.env;
    const env = { PATH, PGHOST: root, PGPORT: String(port), PGUSER: ADMIN, PGDATABASE: database };
    const { stdout } = await execute(join(postgresPrograms() ?? "", "psql"), args, {
      env,
      maxBuffer: 1 << 28,
    });
    return stdout.trimEnd();
  },
  setUp: [],
  firstDatabase: "postgres",
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
};

const MARIADB: Recipe = {
  scheme: "mariadb",
  install(root) {
    const options = ["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"];
    const args = [...options, `--datadir=${join(root, "data")}`, "--innodb-log-file-size=8M"];
    execFileSync("mariadb-install-db", args, { stdio: "pipe", cwd: root, ...ids });
  },
  command: (root, port, tls) => [
    "/usr/sbin/mariadbd",
    [
      "--no-defaults",
      ...(tls ? [`--ssl-cert=${tls[0]}`, `--ssl-key=${tls[1]}`] : []),
      `--datadir=${join(root, "data")}`,
      `--socket=${join(root, "mysqld.sock")}`,
      `--pid-file=${join(root, "pid")}`,
      `--tmpdir=${root}`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      "--skip-name-resolve",
      "--character-set-server=utf8mb4",
      "--innodb-log-file-size=8M",
      "--innodb-buffer-pool-size=64M",
      "--innodb-flush-log-at-trx-commit=0",
      "--performance-schema=OFF",
    ],
  ],
  async run(root, _port, database, sql) {
    const args = [
      "--no-defaults",
      `--socket=${join(root, "mysqld.sock")}`,
      "--user=root",
      "--batch",
      "--raw",
    ];
    const run = [
      ...args,
      "--skip-column-names",
      "--default-character-set=utf8mb4",
      `--database=${database}`,
      "-e",
      sql,
    ];
    const { stdout } = await execute("mariadb", run, {
      env: { PATH: process.env["PATH"] },
      maxBuffer: 1 << 28,
    });
    return stdout.trimEnd().replaceAll("\t", "|");
  },
  setUp: [
    `CREATE USER ${ADMIN}@'%' IDENTIFIED BY ${quoted(SERVER_PASSWORD).replaceAll("\\", "\\\\")}`,
    `GRANT ALL ON *.* TO ${ADMIN}@'%' WITH GRANT OPTION`,
  ],
  firstDatabase: "mysql",
  quote: (name) => `\`${name.replaceAll("`", "``")}\``,
};

/** Starts one before the tests of a file, and ends it after them. */
export const usePostgres = (options?: ServerOptions): SqlServer => useServer(POSTGRES, options);
export const useMariadb = (options?: ServerOptions): SqlServer => useServer(MARIADB, options);

interface ServerOptions {
  /** Whether it has a certificate. Default false. */
  readonly tls?: boolean;
  /** PostgreSQL: a directory with `bin`, `lib` and `share` of another version. Default: the newest of this machine. */
  readonly programs?: string | undefined;
}

function useServer(recipe: Recipe, { tls = false, programs }: ServerOptions = {}): SqlServer {
  let root = "";
  let port = 0;
  let child: ChildProcess | undefined;
  let made = 0;
  const start = async () => {
    const files: Tls = [join(root, "cert.pem"), join(root, "key.pem")];
    const [program, args] = recipe.command(root, port, tls ? files : undefined);
    const started = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], cwd: root, ...ids });
    child = started;
    let said = "";
    started.stderr.on("data", (data: Buffer) => {
      said = `${said}${data}`.slice(-4000);
    });
    for (;;) {
      if (started.exitCode !== null || started.signalCode !== null)
        throw new Error(`${program} has ended: ${said}`);
      const isThere = await recipe.run(root, port, recipe.firstDatabase, "SELECT 1").then(
        () => true,
        () => false,
      );
      if (isThere) return;
      await sleep(50);
    }
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  };
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), `lancedb-backup-${recipe.scheme}-`));
    chmodSync(root, 0o755);
    mkdirSync(join(root, "data"), { mode: 0o700 });
    if (tls) newCertificate(root, "DNS:localhost");
    if (programs) cpSync(programs, join(root, "programs"), { recursive: true, verbatimSymlinks: true });
    if (NOBODY !== undefined) execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, root]);
    recipe.install(root);
    port = await freePort();
    await start();
    for (const sql of recipe.setUp) await recipe.run(root, port, recipe.firstDatabase, sql);
  });
  afterAll(async () => {
    // PostgreSQL: fast. MariaDB: nobody needs what it would write out.
    await end(recipe === POSTGRES ? "SIGINT" : "SIGKILL");
    rmSync(root, { recursive: true, force: true });
  });
  return {
    get port() {
      return port;
    },
    get socketDirectory() {
      return root;
    },
    get certificate() {
      return join(root, "cert.pem");
    },
    url(database, { user = ADMIN, password = SERVER_PASSWORD, host = "127.0.0.1", port: at = port } = {}) {
      const [name, secret, path] = [user, password, database].map(encodeURIComponent);
      return `${recipe.scheme}://${name}:${secret}@${host}:${at}/${path}`;
    },
    async create() {
      const name = `db_${++made}`;
      await recipe.run(root, port, recipe.firstDatabase, `CREATE DATABASE ${recipe.quote(name)}`);
      return name;
    },
    run: (database, sql) => recipe.run(root, port, database, sql),
    async kill() {
      // PostgreSQL's processes outlive the first of them for a while.
      const others = child?.pid === undefined ? [] : childrenOf(child.pid);
      await end("SIGKILL");
      for (const pid of others) killQuietly(pid);
    },
    start,
  };
}

function childrenOf(parent: number): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return (
        Number(
          readFileSync(`/proc/${pid}/stat`, "utf8")
            .replace(/^.*\) /s, "")
            .split(" ")[1],
        ) === parent
      );
    } catch {
      return false; // it has ended
    }
  });
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
