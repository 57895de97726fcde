import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll } from "vitest";
import { missingPrograms } from "./programs.ts";

export type FileServerKind = "ftp" | "sftp" | "webdav";

/** A real server of files on loopback, for the tests of one file. */
export interface FileServer {
  /** The address of a directory in it that nobody has used. It is not there yet. */
  address(): string;
  /** Where the directory of an address lies on this disk. */
  directory(address: string): string;
  /** An address at which nobody but a user with another password is let in. */
  readonly port: number;
}

interface Recipe {
  readonly program: string;
  readonly package: string;
  /** Writes what it needs below `root`, and answers with its arguments. */
  configure(root: string, port: number): readonly string[];
  address(root: string, port: number): string;
  readonly env: (root: string) => Record<string, string>;
}

/** Who runs the servers where the tests are root's; it owns nothing else. */
const NOBODY = process.getuid?.() === 0 ? 65_534 : undefined;
export const PASSWORD = "sesame-open";

const user = () =>
  execFileSync("id", ["-un", ...(NOBODY === undefined ? [] : [String(NOBODY)])], { encoding: "utf8" }).trim();

const RECIPES: Record<FileServerKind, Recipe> = {
  ftp: {
    program: "/usr/sbin/vsftpd",
    package: "vsftpd",
    configure(root, port) {
      const lines = {
        listen: "YES",
        listen_address: "127.0.0.1",
        listen_port: port,
        max_clients: 0,
        max_per_ip: 0,
        background: "NO",
        run_as_launching_user: "YES",
        anonymous_enable: "YES",
        anon_root: root,
        anon_upload_enable: "YES",
        anon_mkdir_write_enable: "YES",
        anon_other_write_enable: "YES",
        anon_world_readable_only: "NO",
        anon_umask: "022",
        write_enable: "YES",
        xferlog_enable: "NO",
        secure_chroot_dir: join(root, "empty"),
        pasv_address: "127.0.0.1",
        seccomp_sandbox: "NO",
        ssl_enable: "YES",
        allow_anon_ssl: "YES",
        force_anon_logins_ssl: "NO",
        force_anon_data_ssl: "NO",
        require_ssl_reuse: "NO",
        rsa_cert_file: join(root, "certificate.pem"),
        rsa_private_key_file: join(root, "certificate.pem"),
      };
      mkdirSync(join(root, "empty"));
      certify(root);
      const file = join(root, "vsftpd.conf");
      writeFileSync(
        file,
        Object.entries(lines)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(""),
      );
      return [file];
    },
    // Run by who launched it, it does not change its root.
    address: (root, port) => `ftp://anonymous@127.0.0.1:${port}${root}/files`,
    env: () => ({ FTP_PASSWORD: PASSWORD }),
  },
  sftp: {
    program: "/usr/sbin/sshd",
    package: "openssh-server",
    configure(root, port) {
      for (const name of ["host", "user"])
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(root, name)]);
      writeFileSync(join(root, "authorized"), readFileSync(join(root, "user.pub")));
      const lines = [
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${join(root, "host")}`,
        `AuthorizedKeysFile ${join(root, "authorized")}`,
        "PidFile none",
        // Without it, accounts without a password count as locked.
        "UsePAM yes",
        "StrictModes no",
        "PasswordAuthentication no",
        "MaxStartups 200",
        "PerSourceMaxStartups none",
        "Subsystem sftp internal-sftp",
        "ForceCommand internal-sftp",
      ];
      writeFileSync(join(root, "sshd_config"), `${lines.join("\n")}\n`);
      return ["-D", "-e", "-f", join(root, "sshd_config")];
    },
    address: (root, port) => `sftp://${user()}@127.0.0.1:${port}${root}/files`,
    env: (root) => ({
      SFTP_KEY_FILE: join(root, "user"),
      SFTP_HOST_KEY: readFileSync(join(root, "host.pub"), "utf8").split(" ")[1] ?? "",
    }),
  },
  webdav: {
    program: "/usr/sbin/apache2",
    package: "apache2",
    configure(root, port) {
      execFileSync("htpasswd", ["-bcs", join(root, "users"), "user", PASSWORD], { stdio: "ignore" });
      const modules = [
        "mpm_event",
        "authz_core",
        "authz_user",
        "authn_core",
        "authn_file",
        "auth_basic",
        "dav",
        "dav_fs",
      ];
      const lines = [
        ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
        `ServerName 127.0.0.1`,
        `Listen 127.0.0.1:${port}`,
        `DefaultRuntimeDir ${root}`,
        `PidFile ${join(root, "pid")}`,
        `Mutex fcntl:${root}`,
        `ErrorLog ${join(root, "errors")}`,
        `DocumentRoot ${root}`,
        // Several processes, so that what excludes is not a lock within one.
        "StartServers 4",
        "MinSpareThreads 100",
        "ThreadsPerChild 25",
        // None ends while the tests run, and no connection is closed under what is being sent.
        "MaxSpareThreads 400",
        "MaxKeepAliveRequests 0",
        "KeepAliveTimeout 300",
        `DavLockDB ${join(root, "locks")}`,
        `<Location "/files">`,
        "Dav On",
        "AuthType Basic",
        "AuthName files",
        `AuthUserFile ${join(root, "users")}`,
        "Require valid-user",
        "</Location>",
      ];
      writeFileSync(join(root, "apache2.conf"), `${lines.join("\n")}\n`);
      return ["-f", join(root, "apache2.conf"), "-DFOREGROUND"];
    },
    address: (_, port) => `webdav://user@127.0.0.1:${port}/files`,
    env: () => ({ WEBDAV_PASSWORD: PASSWORD }),
  },
};

function certify(root: string): void {
  const file = join(root, "certificate.pem");
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...subject];
  execFileSync("openssl", [...made, "-keyout", file, "-out", `${file}.only`], { stdio: "ignore" });
  writeFileSync(file, readFileSync(`${file}.only`), { flag: "a" });
}

const NEEDED: Record<FileServerKind, readonly string[]> = {
  ftp: ["/usr/sbin/vsftpd", "openssl"],
  sftp: ["/usr/sbin/sshd", "ssh-keygen"],
  webdav: ["/usr/sbin/apache2", "htpasswd"],
};

/** Why there can be no such server here; undefined where there can be one. */
export function whyNoFileServer(kind: FileServerKind): string | undefined {
  if (missingPrograms(NEEDED[kind]).length === 0) return undefined;
  return `no ${RECIPES[kind].program} here (Debian: ${RECIPES[kind].package})`;
}

/** Starts one before the tests of a file, and ends it after them. What a client needs is in the environment meanwhile. */
export function useFileServer(kind: FileServerKind): FileServer {
  const recipe = RECIPES[kind];
  let root = "";
  let port = 0;
  let server: ChildProcess | undefined;
  let used = 0;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), `lancedb-backup-${kind}-`));
    chmodSync(root, 0o755);
    for (let tries = 1; ; tries++) {
      rmSync(root, { recursive: true });
      mkdirSync(join(root, "files"), { recursive: true });
      port = await freePort();
      const args = recipe.configure(root, port);
      if (NOBODY !== undefined) execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, root]);
      const ids = NOBODY === undefined ? {} : { uid: NOBODY, gid: NOBODY };
      server = spawn(recipe.program, args, { stdio: ["ignore", "ignore", "pipe"], ...ids });
      const why = await answers(server, port);
      if (why === undefined) break;
      if (tries === 3) throw new Error(`${recipe.program} has not started: ${why}`);
    }
    if (NOBODY !== undefined && kind === "sftp") chownSync(join(root, "user"), 0, 0);
    Object.assign(process.env, recipe.env(root));
  });
  afterAll(async () => {
    if (server?.exitCode === null && server.signalCode === null) {
      const exit = once(server, "exit");
      server.kill("SIGTERM");
      await exit;
    }
    rmSync(root, { recursive: true, force: true });
  });
  return {
    address: () => `${recipe.address(root, port)}/${++used}`,
    directory: (address) => join(root, "files", address.slice(address.lastIndexOf("/files/") + 7)),
    get port() {
      return port;
    },
  };
}

/** Why it does not: it has ended, and what it said. */
async function answers(server: ChildProcess, port: number): Promise<string | undefined> {
  let said = "";
  server.stderr?.on("data", (data: Buffer) => {
    said += data;
  });
  while (server.exitCode === null && server.signalCode === null) {
    const socket = connect(port, "127.0.0.1");
    const isThere = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isThere) return undefined;
    await sleep(20);
  }
  return said || `it ended with ${server.exitCode ?? server.signalCode}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
