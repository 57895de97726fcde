// A storage on an FTP server: copy this file, `npm install basic-ftp`, and register it before a repository is opened:
//
//   registerStorage("ftp", (address) => new FtpStorage(address));
//   await Repository.init("ftp://user@host/path?tls=true");
//
// The password is in FTP_PASSWORD. With `tls=true` (explicit FTPS) nothing goes over the net in the clear.
//
// What excludes: FTP has no exclusive creation. STOR and RNTO replace a file that is there. But no server renames a
// directory over one that has something in it: so an object `a/b` is a directory `a/b~` with a file `content`, made
// elsewhere and renamed to its place when it is whole. (MKD excludes too, but a writer that dies between it and the file
// would bar the name for ever.) Before the first write it is tried, in this very place, whether the server refuses such
// a rename; one that does not is refused for writing.
//
// What FTP cannot promise: nothing makes a server sync, so what was answered for may be lost in a power cut of the server. And
// a file that may not be read looks to FTP like one that is not there: 550 is all it says.
import { randomUUID } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { Client, FTPError } from "basic-ftp";
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

const REFUSED = 550;
const TRIES = 5;
const MOST_IDLE = 8;

export class FtpStorage implements Storage {
  readonly location: string;
  readonly #url: URL;
  readonly #root: string;
  readonly #idle: Client[] = [];
  readonly #made = new Set<string>();
  #probe: Promise<void> | undefined;

  constructor(address: string) {
    this.#url = new URL(address);
    if (this.#url.password)
      throw new ValidationError("A password does not belong in an address: FTP_PASSWORD.");
    this.#root = decodeURIComponent(this.#url.pathname).replace(/\/+$/, "");
    this.location = `ftp://${this.#url.host}${this.#root}`;
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    const path = this.#content(name);
    signal?.throwIfAborted();
    if (length <= 0) return;
    let left = length;
    const client = await this.#connection();
    const through = new PassThrough();
    const done = client.downloadTo(through, path, offset);
    done.catch((error: unknown) => through.destroy(error as Error));
    const abort = () => through.destroy(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    let isWhole = false;
    try {
      for await (const piece of through as AsyncIterable<Buffer>) {
        signal?.throwIfAborted();
        yield piece.subarray(0, left);
        left -= piece.length;
        if (left <= 0) break;
      }
      signal?.throwIfAborted();
      isWhole = left > 0; // a transfer that is cut is an error of the client's
    } catch (error) {
      signal?.throwIfAborted();
      throw toIoError(error, "read", `${this.location}/${name}`);
    } finally {
      signal?.removeEventListener("abort", abort);
      // What is still under way can only be ended with its connection.
      if (isWhole)
        await done.then(
          () => this.#giveBack(client),
          () => client.close(),
        );
      else client.close();
    }
  }

  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    await this.#whole(name, content, options.signal, async (made) => {
      for (let tries = 1; !(await this.#named(made, name)); tries++) {
        const replace = (client: Client) => client.rename(`${made}/content`, this.#content(name));
        const error = await this.#call("write", name, replace).then(
          () => undefined,
          (caught: unknown) => caught,
        );
        if (error === undefined) return;
        if (tries === TRIES) throw error; // else it was removed meanwhile: it is made anew
      }
    });
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#whole(name, content, options.signal, (made) => this.#named(made, name));
  }

  /** Whether what was made has the name now; false where something else has it. */
  async #named(made: string, name: string): Promise<boolean> {
    try {
      await this.#call("write", name, (client) => client.rename(made, this.#object(name)));
      return true;
    } catch (error) {
      if ((await this.stat(name)) === undefined) throw error;
      return false;
    }
  }

  /** Sends all to a directory that nobody lists, has it named, and takes away what is left of it. */
  async #whole<T>(
    name: string,
    content: Content,
    signal: AbortSignal | undefined,
    named: (made: string) => Promise<T>,
  ) {
    assertObjectName(name);
    signal?.throwIfAborted();
    this.#probe ??= this.#assertExclusive();
    await this.#probe.catch((error: unknown) => {
      this.#probe = undefined;
      throw error;
    });
    const made = await this.#unfinished();
    try {
      await this.#makeDirectories(this.#object(name));
      await this.#send(`${made}/content`, name, content, signal);
      return await named(made);
    } finally {
      await this.#discard(made);
    }
  }

  async #send(path: string, name: string, content: Content, signal: AbortSignal | undefined): Promise<void> {
    let failed: { readonly error: unknown } | undefined;
    const source = async function* () {
      try {
        for await (const piece of piecesOf(content, signal)) {
          yield piece;
          await turn(); // a source that never waits would hold up the signal
        }
      } catch (error) {
        failed = { error };
        throw error;
      }
    };
    try {
      await this.#call("write", name, (client) =>
        client.uploadFrom(Readable.from(source(), { objectMode: false }), path),
      );
    } catch (error) {
      throw failed ? failed.error : error;
    }
    signal?.throwIfAborted();
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    assertObjectPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf("/") + 1), prefix);
  }

  async *#walk(folder: string, prefix: string): AsyncGenerator<StoredObject> {
    const path = `${this.#root}/${folder}`;
    for (const entry of await this.#call("list", folder, (client) => client.list(path))) {
      const name = folder + entry.name.replace(/~$/, "");
      if (!entry.isDirectory || !isObjectName(name)) continue;
      const below = `${name}/`;
      if (!entry.name.endsWith("~")) {
        if (below.startsWith(prefix) || prefix.startsWith(below)) yield* this.#walk(below, prefix);
      } else if (name.startsWith(prefix)) {
        // Listings of many servers tell minutes of an unknown time zone.
        const found = await this.stat(name);
        if (found) yield found;
      }
    }
  }

  async remove(name: string): Promise<void> {
    assertObjectName(name);
    const gone = `${this.#root}/~unfinished/${randomUUID()}`;
    await this.#makeDirectories(gone);
    try {
      await this.#call("remove", name, (client) => client.rename(this.#object(name), gone));
    } catch (error) {
      if ((await this.stat(name)) !== undefined) throw error;
      return;
    }
    await this.#discard(gone);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const path = this.#content(name);
    try {
      return await this.#call("look at", name, async (client) => {
        const size = await client.size(path);
        return { name, size, modified: await client.lastMod(path) };
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #assertExclusive(): Promise<void> {
    const [first, second] = [await this.#unfinished(), await this.#unfinished()];
    try {
      for (const made of [first, second])
        await this.#send(`${made}/content`, "", Buffer.from("x"), undefined);
      const excludes = await this.#call("try", "", (client) => client.rename(first, second)).then(
        () => false,
        (error: unknown) => isNotFound(error),
      );
      if (!excludes)
        throw new UnsupportedError(
          `${this.location}: this server renames directories over others, so that two writers could not cannot be used together.`,
        );
    } finally {
      for (const made of [first, second]) await this.#discard(made);
    }
  }

  async #unfinished(): Promise<string> {
    const path = `${this.#root}/~unfinished/${randomUUID()}`;
    await this.#makeDirectories(`${path}/`);
    return path;
  }

  /** What nobody can read any more. What is left lies in `~unfinished`, and is in nobody's way. */
  async #discard(path: string): Promise<void> {
    this.#made.delete(path);
    const file = (client: Client) => client.send(`DELE ${path}/content`);
    await this.#call("remove", "", file).catch(() => undefined);
    await this.#call("remove", "", (client) => client.send(`RMD ${path}`)).catch(() => undefined);
  }

  /** The directories around a path. */
  async #makeDirectories(path: string): Promise<void> {
    for (let end = path.indexOf("/", 1); end !== -1; end = path.indexOf("/", end + 1)) {
      const directory = path.slice(0, end);
      if (this.#made.has(directory)) continue;
      // It is there, mostly; where it is not, sending the file says why.
      await this.#call("write", "", (client) => client.send(`MKD ${directory}`)).catch(() => undefined);
      this.#made.add(directory);
    }
  }

  #object(name: string): string {
    assertObjectName(name);
    return `${this.#root}/${name}~`;
  }

  #content(name: string): string {
    return `${this.#object(name)}/content`;
  }

  /** A connection does one thing at a time. What has failed may be in the middle of an answer, and is closed. */
  async #call<T>(action: string, name: string, work: (client: Client) => Promise<T>): Promise<T> {
    const client = await this.#connection();
    try {
      const result = await work(client);
      this.#giveBack(client);
      return result;
    } catch (error) {
      if (error instanceof FTPError) this.#giveBack(client);
      else client.close();
      throw toIoError(error, action, `${this.location}/${name}`);
    }
  }

  async #connection(): Promise<Client> {
    for (let client = this.#idle.pop(); client; client = this.#idle.pop()) {
      if (client.closed) continue;
      client.ftp.socket.ref();
      return client;
    }
    const client = new Client();
    try {
      const { hostname: host, port, username, searchParams } = this.#url;
      const user = decodeURIComponent(username) || "anonymous";
      const secure = searchParams.get("tls") === "true";
      await client.access({
        host,
        port: Number(port || 21),
        user,
        password: process.env["FTP_PASSWORD"] ?? "",
        secure,
      });
      return client;
    } catch (error) {
      client.close();
      throw toIoError(error, "reach", this.location);
    }
  }

  /** It keeps the process alive no longer. */
  #giveBack(client: Client): void {
    if (client.closed) return;
    client.ftp.socket.unref();
    if (this.#idle.length < MOST_IDLE) this.#idle.push(client);
    else client.close();
  }
}

function toIoError(error: unknown, action: string, path: string): Error {
  if (error instanceof IoError) return error;
  const { code, message } = error as { readonly code?: string | number; readonly message: string };
  if (code === REFUSED)
    return new NotFoundError(`${path} is not there, or the server refuses it: ${message}`, {
      path,
      cause: error,
    });
  const errno = typeof code === "string" ? code : "EIO";
  return new IoError(`Could not ${action} ${path}: ${message}`, { path, errno, cause: error });
}
