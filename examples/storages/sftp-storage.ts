// A storage on an SFTP server: copy this file, `npm install ssh2`, and register it before a repository is opened:
//
//   registerStorage("sftp", (address) => new SftpStorage(address));
//   await Repository.init("sftp://user@host/absolute/path");
//
// The password is in SFTP_PASSWORD, or the path of a private key in SFTP_KEY_FILE; else the SSH agent is asked.
// SFTP_HOST_KEY is the server's key, the second word of what `ssh-keyscan -t ed25519 host` prints: without it anybody
// could pose as the server.
//
// What excludes: the hard link of a finished file to its name (`hardlink@openssh.com`). It fails where the name is there,
// and the name never shows half a file. Opening with EXCL excludes too, but shows a file while it is written; a rename by
// SFTP's own request falls back to "look, then rename" on disks without links. A server without the extensions below is
// refused for writing. What is answered for was synced (`fsync@openssh.com`), except the directory, which SFTP cannot sync.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import {
  assertObjectName,
  assertObjectPrefix,
  type Content,
  IoError,
  isNotFound,
  isObjectName,
  NotFoundError,
  piecesOf,
  type ReadOptions,
  type Storage,
  type StoredObject,
  UnsupportedError,
  ValidationError,
  type WriteOptions,
} from "lancedb-backup/repository";
import { Client, type SFTPWrapper, type Stats } from "ssh2";

const NO_SUCH_FILE = 2; // and what lies below a file
const PERMISSION_DENIED = 3;
const PIECE_BYTES = 256 << 10;

type Callback<T> = (error: Error | null | undefined, value?: T) => void;
type Session = { readonly sftp: SFTPWrapper; hold(): () => void };

export class SftpStorage implements Storage {
  readonly location: string;
  readonly #url: URL;
  readonly #root: string;
  readonly #made = new Set<string>();
  #session: Promise<Session> | undefined;

  constructor(address: string) {
    this.#url = new URL(address);
    if (this.#url.password)
      throw new ValidationError("A password does not belong in an address: SFTP_PASSWORD.");
    this.#root = decodeURIComponent(this.#url.pathname).replace(/\/+$/, "");
    this.location = `sftp://${this.#url.host}${this.#root}`;
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    assertObjectName(name);
    signal?.throwIfAborted();
    const handle = await this.#call<Buffer>("read", name, (sftp, done) =>
      sftp.open(this.#path(name), "r", done),
    );
    try {
      const stats = await this.#call<Stats>("read", name, (sftp, done) => sftp.fstat(handle, done));
      if (!stats.isFile()) throw notThere(`${this.location}/${name}`);
      const end = Math.min(stats.size, offset + length);
      for (let position = offset; position < end; ) {
        const piece = Buffer.alloc(Math.min(PIECE_BYTES, end - position));
        const at = position;
        const bytes = await this.#call<number>("read", name, (sftp, done) =>
          sftp.read(handle, piece, 0, piece.length, at, done),
        );
        signal?.throwIfAborted();
        if (bytes === 0) throw new IoError(`${this.location}/${name} ended early.`, { errno: "EAGAIN" });
        position += bytes;
        yield piece.subarray(0, bytes);
      }
    } finally {
      await this.#call<void>("close", name, (sftp, done) => sftp.close(handle, done));
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    await this.#whole(name, content, options.signal, (finished) =>
      this.#call<void>("write", name, (sftp, done) =>
        sftp.ext_openssh_rename(finished, this.#path(name), done),
      ),
    );
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#whole(name, content, options.signal, async (finished) => {
      try {
        await this.#call<void>("write", name, (sftp, done) =>
          sftp.ext_openssh_hardlink(finished, this.#path(name), done),
        );
        return true;
      } catch (error) {
        if ((await this.stat(name)) === undefined) throw error; // SFTP has no word for "it exists": only "failure"
        return false;
      }
    });
  }

  /** Writes all to a file that nobody lists, syncs it, has it named, and takes away what is left of it. */
  async #whole<T>(
    name: string,
    content: Content,
    signal: AbortSignal | undefined,
    named: (finished: string) => Promise<T>,
  ) {
    assertObjectName(name);
    signal?.throwIfAborted();
    const finished = `${this.#root}/.unfinished/${randomUUID()}`;
    await this.#makeDirectories(finished);
    await this.#makeDirectories(this.#path(name));
    const handle = await this.#call<Buffer>("write", name, (sftp, done) => sftp.open(finished, "wx", done));
    try {
      let position = 0;
      try {
        for await (const piece of piecesOf(content, signal)) {
          const at = position;
          position += piece.length;
          if (piece.length > 0)
            await this.#call<void>("write", name, (sftp, done) =>
              sftp.write(handle, Buffer.from(piece), 0, piece.length, at, done),
            );
        }
        await this.#call<void>("sync", name, (sftp, done) =>
          sftp.ext_openssh_fsync(handle, (error) => done(error)),
        );
      } finally {
        await this.#call<void>("close", name, (sftp, done) => sftp.close(handle, done));
      }
      signal?.throwIfAborted();
      return await named(finished);
    } finally {
      await this.#unlink(finished, name);
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf("/") + 1), prefix);
  }

  async *#walk(folder: string, prefix: string): AsyncGenerator<StoredObject> {
    type Entries = readonly { filename: string; attrs: Stats }[];
    const entries = await this.#call<Entries>("list", folder, (sftp, done) =>
      sftp.readdir(this.#path(folder), done),
    ).catch(absent);
    for (const { filename, attrs } of entries ?? []) {
      const name = folder + filename;
      if (!isObjectName(name)) continue;
      const below = `${name}/`;
      if (attrs.isDirectory() && (below.startsWith(prefix) || prefix.startsWith(below)))
        yield* this.#walk(below, prefix);
      else if (attrs.isFile() && name.startsWith(prefix)) yield toObject(name, attrs);
    }
  }

  async remove(name: string): Promise<void> {
    assertObjectName(name);
    if (await this.stat(name)) await this.#unlink(this.#path(name), name);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    assertObjectName(name);
    const found = await this.#call<Stats>("look at", name, (sftp, done) =>
      sftp.lstat(this.#path(name), done),
    ).catch(absent);
    return found?.isFile() ? toObject(name, found) : undefined;
  }

  async #unlink(path: string, name: string): Promise<void> {
    await this.#call<void>("remove", name, (sftp, done) => sftp.unlink(path, done)).catch(absent);
  }

  /** The directories around a file. */
  async #makeDirectories(path: string): Promise<void> {
    for (let end = path.indexOf("/", 1); end !== -1; end = path.indexOf("/", end + 1)) {
      const directory = path.slice(0, end);
      if (this.#made.has(directory)) continue;
      await this.#call<void>("write", "", (sftp, done) => sftp.mkdir(directory, done)).catch(
        // It is there, mostly; where it is not, opening the file says why.
        () => undefined,
      );
      this.#made.add(directory);
    }
  }

  #path(name: string): string {
    return `${this.#root}/${name}`;
  }

  /** One request. The connection keeps the process alive while one is under way, and not longer. */
  async #call<T>(
    action: string,
    name: string,
    request: (sftp: SFTPWrapper, done: Callback<T>) => void,
  ): Promise<T> {
    const path = `${this.location}/${name}`;
    this.#session ??= this.#connect();
    const session = await this.#session.catch((error: unknown) => {
      this.#session = undefined;
      throw toIoError(error, "reach", this.location);
    });
    const letGo = session.hold();
    try {
      return await new Promise<T>((resolve, reject) => {
        request(session.sftp, (error, value) => (error ? reject(error) : resolve(value as T)));
      });
    } catch (error) {
      throw toIoError(error, action, path);
    } finally {
      letGo();
    }
  }

  async #connect(): Promise<Session> {
    const { hostname, port, username } = this.#url;
    const { SFTP_PASSWORD, SFTP_KEY_FILE, SFTP_HOST_KEY, SSH_AUTH_SOCK } = process.env;
    if (!SFTP_HOST_KEY)
      throw new ValidationError("SFTP_HOST_KEY must have the server's key: ssh-keyscan prints it.");
    const sock = connect(Number(port || 22), hostname);
    await once(sock, "connect");
    sock.setNoDelay(true); // else small requests wait 40 ms each
    const client = new Client();
    const ready = once(client, "ready");
    client.connect({
      sock,
      username: decodeURIComponent(username),
      ...(SFTP_PASSWORD && { password: SFTP_PASSWORD }),
      ...(SFTP_KEY_FILE && { privateKey: readFileSync(SFTP_KEY_FILE) }),
      ...(SSH_AUTH_SOCK && { agent: SSH_AUTH_SOCK }),
      hostVerifier: (key: Buffer) => key.toString("base64") === SFTP_HOST_KEY,
    });
    await ready;
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      client.sftp((error, made) => (error ? reject(error) : resolve(made)));
    });
    const lost = () => {
      this.#session = undefined; // the next request connects anew
    };
    client.on("error", lost).on("close", lost);
    let held = 0;
    sock.unref();
    return {
      sftp,
      hold() {
        if (held++ === 0) sock.ref();
        return () => void (--held === 0 && sock.unref());
      },
    };
  }
}

const toObject = (name: string, { size, mtime }: Stats): StoredObject => ({
  name,
  size,
  modified: new Date(mtime * 1000),
});

const notThere = (path: string) => new NotFoundError(`${path} is not there.`, { path });

function absent(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
}

function toIoError(error: unknown, action: string, path: string): Error {
  if (error instanceof ValidationError || error instanceof IoError) return error;
  const { code, message } = error as { readonly code?: string | number; readonly message: string };
  if (code === NO_SUCH_FILE) return notThere(path);
  if (message.includes("does not support this extended request"))
    return new UnsupportedError(`The server of ${path} cannot link, rename and sync as OpenSSH's does.`);
  const errno = typeof code === "string" ? code : code === PERMISSION_DENIED ? "EACCES" : "EIO";
  return new IoError(`Could not ${action} ${path}: ${message}`, { path, errno, cause: error });
}
