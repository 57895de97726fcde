// A storage on a WebDAV server: copy this file, `npm install fast-xml-parser`, and register it before a repository is opened:
//
//   registerStorage("webdavs", (address) => new WebdavStorage(address)); // webdav: is the same without TLS
//   await Repository.init("webdavs://user@host/path");
//
// The password is in WEBDAV_PASSWORD.
//
// What excludes was measured on Apache's mod_dav, with 20 clients at once in 50 rounds: `PUT` with `If-None-Match: *` let
// several make one name in 18 of them, `MOVE` of a file with `Overwrite: F` in 12, `LOCK` in 31: each looks first and acts
// then. In none did the `MOVE` of a collection that has something in it: the disk refuses to rename a directory over one that
// is not empty. So an object `a/b` is a collection `a/b~` with a file `content`, made elsewhere and moved to its place
// when it is whole. (MKCOL excludes too, but a writer that dies between it and the file would bar the name for ever.)
// That is known of mod_dav on a disk: another server is refused for writing unless the address has `?trusted=true`, which
// whoever has raced its clients may say.
//
// What WebDAV cannot promise: nothing makes a server sync, so what was answered for may be lost in a power cut of the server.
import { randomUUID } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { XMLParser } from "fast-xml-parser";
import {
  assertObjectName,
  assertObjectPrefix,
  type Content,
  IoError,
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

const TRIES = 5;
const ERRNO: Readonly<Record<number, string>> = {
  401: "EACCES",
  403: "EACCES",
  507: "ENOSPC",
};
const PARSER = new XMLParser({ removeNSPrefix: true, isArray: (name) => name === "response" });

/** What undici says of a connection that the other side has closed. */
const CLOSED = "UND_ERR_SOCKET";

interface Move {
  readonly from: string;
  readonly to: string;
  /** Whether it was moved, where the answer was lost. */
  readonly isDone: () => Promise<boolean>;
}

interface Request {
  readonly headers?: Record<string, string>;
  readonly body?: RequestInit["body"] | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

export class WebdavStorage implements Storage {
  readonly location: string;
  readonly #origin: string;
  readonly #root: string;
  readonly #authorization: string;
  readonly #isTrusted: boolean;
  readonly #made = new Set<string>();
  #probe: Promise<void> | undefined;

  constructor(address: string) {
    const { protocol, host, pathname, username, password, searchParams } = new URL(address);
    if (password) throw new ValidationError("A password does not belong in an address: WEBDAV_PASSWORD.");
    this.#origin = `${protocol === "webdavs:" ? "https" : "http"}://${host}`;
    this.#root = pathname.replace(/\/+$/, "");
    this.location = `${protocol}//${host}${this.#root}`;
    this.#isTrusted = searchParams.get("trusted") === "true";
    const credentials = `${decodeURIComponent(username)}:${process.env["WEBDAV_PASSWORD"] ?? ""}`;
    this.#authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
  }

  async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0, length = Number.POSITIVE_INFINITY, signal } = options;
    const path = this.#content(name);
    signal?.throwIfAborted();
    if (length <= 0) return;
    const last = length === Number.POSITIVE_INFINITY ? "" : String(offset + length - 1);
    const isWhole = offset === 0 && last === "";
    const headers: Record<string, string> = isWhole ? {} : { Range: `bytes=${offset}-${last}` };
    const answer = await this.#send("GET", name, path, { headers, signal });
    if (answer.status === 416) return void (await answer.body?.cancel());
    if (answer.status !== (isWhole ? 200 : 206)) throw await this.#refused("read", name, answer);
    try {
      for await (const piece of answer.body ?? []) {
        signal?.throwIfAborted();
        yield piece;
      }
      signal?.throwIfAborted();
    } catch (error) {
      signal?.throwIfAborted();
      throw new IoError(`Could not read ${this.location}/${name}: it ended early.`, {
        errno: "EAGAIN",
        cause: error,
      });
    }
  }

  /** Moving onto a file removes it first, but PUT has the file replaced at once when all has come. */
  async write(name: string, content: Content, options: WriteOptions = {}): Promise<void> {
    await this.#whole(name, content, options.signal, async (made) => {
      for (let tries = 1; !(await this.#named(made, name)); tries++) {
        const { body } = await this.#ok("GET", name, `${made}/content`);
        const answer = await this.#send("PUT", name, this.#content(name), { body: body ?? "" });
        if (answer.ok) return void (await answer.body?.cancel());
        const refused = await this.#refused("write", name, answer);
        if (tries === TRIES) throw refused; // else it was removed meanwhile: it is made anew
      }
    });
  }

  async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
    return this.#whole(name, content, options.signal, (made) => this.#named(made, name));
  }

  /** Whether what was made has the name now; false where something else has it. */
  async #named(made: string, name: string): Promise<boolean> {
    const isDone = async () => !(await this.#isThere(name, `${made}/content`));
    const refused = await this.#move("write", name, { from: made, to: this.#object(name), isDone });
    if (!refused) return true;
    if ((await this.stat(name)) === undefined) throw refused;
    return false;
  }

  /**
   * Answers with why it was not moved. A server may close a connection that it kept, and an answer may be lost: then nobody has said
   * whether it was. One of the two names is this call's alone and tells it.
   */
  async #move(action: string, name: string, { from, to, isDone }: Move): Promise<IoError | undefined> {
    const headers = { Destination: this.#origin + to, Overwrite: "F" };
    for (let tries = 1; ; tries++) {
      try {
        const answer = await this.#send("MOVE", name, from, { headers });
        if (answer.status !== 201) {
          const refused = await this.#refused(action, name, answer);
          return tries > 1 && (await isDone()) ? undefined : refused;
        }
        return void (await answer.body?.cancel());
      } catch (error) {
        if (!(error instanceof IoError) || error.errno !== CLOSED || tries === TRIES) throw error;
        if (await isDone()) return undefined;
      }
    }
  }

  async #isThere(name: string, path: string): Promise<boolean> {
    const { ok, status } = await this.#send("HEAD", name, path);
    if (!ok && status !== 404) throw failure("look at", `${this.location}/${name}`, status);
    return ok;
  }

  /** Sends all to a collection that nobody lists, has it named, and takes away what is left of it. */
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
    const made = this.#unfinished();
    try {
      await this.#makeCollections(`${made}/`);
      await this.#makeCollections(this.#object(name));
      await this.#upload(name, `${made}/content`, content, signal);
      return await named(made);
    } finally {
      this.#made.delete(made);
      await this.#discard(made);
    }
  }

  async #upload(
    name: string,
    path: string,
    content: Content,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (content instanceof Uint8Array) {
      await this.#ok("PUT", name, path, { body: Buffer.from(content), signal });
      return;
    }
    let failed: { readonly error: unknown } | undefined;
    const source = async function* () {
      try {
        for await (const piece of piecesOf(content, signal)) {
          if (piece.length > 0) yield piece;
          await turn(); // a source that never waits would hold up the signal
        }
      } catch (error) {
        failed = { error };
        throw error;
      }
    };
    try {
      await this.#ok("PUT", name, path, { body: source() });
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
    const answer = await this.#send("PROPFIND", folder, path, { headers: { Depth: "1" } });
    if (answer.status === 404) return void (await answer.body?.cancel());
    if (!answer.ok) throw await this.#refused("list", folder, answer);
    const found: { multistatus?: { response?: readonly { href: string }[] } } = PARSER.parse(
      await answer.text(),
    );
    for (const { href } of found.multistatus?.response ?? []) {
      const entry = decodeURIComponent(new URL(href, this.#origin).pathname).slice(path.length);
      const name = folder + entry.replace(/~?\/$/, "");
      if (!entry.endsWith("/") || !isObjectName(name)) continue;
      if (!entry.endsWith("~/")) {
        const below = `${name}/`;
        if (below.startsWith(prefix) || prefix.startsWith(below)) yield* this.#walk(below, prefix);
      } else if (name.startsWith(prefix)) {
        const object = await this.stat(name);
        if (object) yield object;
      }
    }
  }

  async remove(name: string): Promise<void> {
    const gone = this.#unfinished();
    await this.#makeCollections(gone);
    const isDone = () => this.#isThere(name, `${gone}/content`);
    const refused = await this.#move("remove", name, { from: this.#object(name), to: gone, isDone });
    if (refused && (await this.stat(name)) !== undefined) throw refused;
    await this.#discard(gone);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const { ok, status, headers } = await this.#send("HEAD", name, this.#content(name));
    if (status === 404) return undefined;
    if (!ok) throw failure("look at", `${this.location}/${name}`, status);
    const [size, modified] = [headers.get("content-length"), headers.get("last-modified")];
    return { name, size: Number(size), modified: new Date(modified ?? 0) };
  }

  async #assertExclusive(): Promise<void> {
    const answer = await this.#ok("OPTIONS", "", new URL(this.#origin).pathname);
    const server = answer.headers.get("server") ?? "unknown";
    if (this.#isTrusted || server.startsWith("Apache")) return;
    throw new UnsupportedError(
      `${this.location}: of this server (${server}) it is not known whether two writers cannot be used together.`,
    );
  }

  #unfinished(): string {
    return `${this.#root}/~unfinished/${randomUUID()}`;
  }

  /** What nobody can read any more. What is left lies in `~unfinished`, and is in nobody's way. */
  async #discard(path: string): Promise<void> {
    const answer = await this.#send("DELETE", "", path).catch(() => undefined);
    await answer?.body?.cancel();
  }

  /** The collections around a path. */
  async #makeCollections(path: string): Promise<void> {
    for (let end = path.indexOf("/", 1); end !== -1; end = path.indexOf("/", end + 1)) {
      const collection = path.slice(0, end);
      if (this.#made.has(collection)) continue;
      // It is there, mostly; where it is not, sending the file says why.
      const answer = await this.#send("MKCOL", "", `${collection}/`);
      await answer.body?.cancel();
      this.#made.add(collection);
    }
  }

  #object(name: string): string {
    assertObjectName(name);
    return `${this.#root}/${name}~`;
  }

  #content(name: string): string {
    return `${this.#object(name)}/content`;
  }

  async #ok(method: string, name: string, path: string, request: Request = {}): Promise<Response> {
    const answer = await this.#send(method, name, path, request);
    if (!answer.ok) throw await this.#refused(method, name, answer);
    if (method !== "GET") await answer.body?.cancel();
    return answer;
  }

  async #send(
    method: string,
    name: string,
    path: string,
    request: Request = {},
    tries = 1,
  ): Promise<Response> {
    const { headers = {}, body, signal } = request;
    try {
      return await fetch(this.#origin + path, {
        method,
        redirect: "error",
        headers: { ...headers, Authorization: this.#authorization },
        ...(body !== undefined && {
          body: body as NonNullable<RequestInit["body"]>,
          duplex: "half" as const,
        }),
        ...(signal && { signal }),
      });
    } catch (error) {
      signal?.throwIfAborted();
      const { cause } = error as { readonly cause?: { readonly code?: string } };
      // A kept connection that the server closes meanwhile is no failure; what has no effect twice is sent again.
      const isWhole = body === undefined || Buffer.isBuffer(body);
      if (cause?.code === CLOSED && tries < TRIES && isWhole && method !== "MOVE")
        return this.#send(method, name, path, request, tries + 1);
      const path_ = `${this.location}/${name}`;
      throw new IoError(`Could not reach ${path_}.`, {
        path: path_,
        errno: cause?.code ?? "EIO",
        cause: error,
      });
    }
  }

  async #refused(action: string, name: string, answer: Response): Promise<IoError> {
    await answer.body?.cancel();
    return failure(action, `${this.location}/${name}`, answer.status);
  }
}

function failure(action: string, path: string, status: number): IoError {
  const why = status === 404 ? "it is not there" : `the server says ${status}`;
  const message = `Could not ${action} ${path}: ${why}.`;
  if (status === 404 || status === 409) return new NotFoundError(message, { path });
  return new IoError(message, { path, errno: ERRNO[status] ?? "EIO" });
}
