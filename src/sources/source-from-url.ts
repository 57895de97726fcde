import { existsSync, readdirSync } from "node:fs";
import { assertKnown } from "../checks.ts";
import { assertLabel } from "../engine/format/names.ts";
import type { Capture, CaptureRequest, CheckRequest, Source } from "../engine/source-contract.ts";
import {
  kindOfScheme,
  knownSchemes,
  type LazyKind,
  loadKind,
  type SourceKind,
} from "../engine/source-kind.ts";
import { type SourceUrlOptions, schemeOfSource } from "../engine/source-url.ts";
import { ValidationError } from "../errors.ts";
import { isMissing, toIoError } from "../fs/io.ts";
import { localPath } from "../fs/local-path.ts";
import { identifyDatabase } from "../lance/database-identity.ts";
import { isHidden, NAMESPACE_TABLE, NAMESPACED } from "../lance/table-directory.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import { withoutPassword } from "../util/without-password.ts";
import { registerBuiltInKinds } from "./built-in-kinds.ts";

registerBuiltInKinds();

const OPTIONS: Readonly<Record<keyof SourceUrlOptions, true>> = {
  sourceId: true,
  exclude: true,
  excludeFrom: true,
  oneFileSystem: true,
  schemas: true,
  excludeSchemas: true,
  tables: true,
  excludeTables: true,
  format: true,
  globals: true,
  compact: true,
  jobs: true,
  timeoutMs: true,
  binDir: true,
  argv: true,
  env: true,
};

/** Where LanceDB takes databases, and this package does not, which it says. */
const ELSEWHERE = new Set(["s3", "s3+ddb", "gs", "az", "db"]);

/**
 * The source at an address: a path or `file:` (a LanceDB database where it is one, else files), or an address of a scheme
 * that this package or `registerSource` knows. Nothing is read yet, and no server is asked: what can be known only then, the backup says.
 *
 * @throws ValidationError for a scheme that nobody knows, naming those that are known. @throws UnsupportedError for a LanceDB database
 * that is not local. Options that its kind does not have are refused when it is backed up.
 * @example
 * ```ts
 * const source = sourceFromUrl("postgresql://backup@localhost/shop", { sourceId: "shop" });
 * await repository.backup({ source });
 * ```
 */
export function sourceFromUrl(url: string, options: SourceUrlOptions = {}): Source {
  if (typeof url !== "string") throw new TypeError("A source's address must be a string.");
  assertKnown(options, "sourceFromUrl", OPTIONS);
  if (options.sourceId !== undefined) assertLabel(options.sourceId, "source id");
  const scheme = schemeOfSource(url);
  if (scheme === undefined || scheme === "file" || ELSEWHERE.has(scheme)) return fromPath(url, options);
  const kind = kindOfScheme(scheme);
  if (kind) return new SourceAtUrl(url, options, asLazy(kind));
  if (existsSync(url)) return fromPath(`./${url}`, options);
  const known = ["file", ...knownSchemes().filter((name) => name !== "file")].map((name) => `${name}:`);
  throw new ValidationError(
    `There is no source for ${JSON.stringify(`${scheme}:`)}. There are: a directory's path, ${known.join(", ")}. registerSource adds others. (A directory of that name is written with "./" before it.)`,
  );
}

function fromPath(url: string, options: SourceUrlOptions): Source {
  const path = localPath(url, "source");
  const files = isDatabase(path) ? undefined : kindOfScheme("file");
  return files ? new SourceAtUrl(path, options, asLazy(files)) : new SourceAtUrl(path, options, LANCEDB);
}

/**
 * Whether a directory is for LanceDB. One that is not there or holds nothing is, too: that is an error there, and as files it would
 * pass for a good backup of what an unmounted disk has no more. So is a table's directory, and a repository.
 */
function isDatabase(path: string): boolean {
  const names = namesIn(path).filter((name) => name !== "lost+found");
  if (names.length === 0 || names.includes("repository.json") || names.includes("_versions")) return true;
  return (
    names.includes(".lancedb-backup") ||
    names.includes(NAMESPACE_TABLE) ||
    names.some((name) => NAMESPACED.test(name) || (name.endsWith(".lance") && !isHidden(name)))
  );
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", path);
  }
}

interface Opener extends Pick<LazyKind, "type" | "identify"> {
  /** What `open` takes besides `sourceId`. */
  offered(): Promise<readonly string[]>;
  open(url: string, options: SourceUrlOptions, lancedb: LanceDB | undefined): Promise<Source>;
}

const LANCEDB: Opener = {
  type: "lancedb",
  identify: (path) => identifyDatabase(path).id,
  offered: async () => [],
  async open(path, { sourceId: id }, lancedb) {
    const { LanceDBSource } = await import("./lancedb/lancedb-source.ts");
    return LanceDBSource.open(path, { id, lancedb });
  },
};

function asLazy(kind: SourceKind | LazyKind): Opener {
  const load = async () => ("load" in kind ? ((await loadKind(kind.type)) ?? kind.load()) : kind);
  return {
    type: kind.type,
    identify: (url, options) => ("load" in kind ? kind.identify(url, options) : withoutPassword(url)),
    offered: async () => (await load()).urlOptions ?? [],
    async open(url, options) {
      const { type, fromUrl } = await load();
      if (!fromUrl) throw new ValidationError(`Sources of the kind ${type} have no addresses.`);
      return fromUrl(url, options);
    },
  };
}

/** A source whose kind is not loaded yet. */
class SourceAtUrl implements Source {
  readonly type: string;
  readonly uri: string;
  readonly #url: string;
  readonly #options: SourceUrlOptions;
  readonly #opener: Opener;
  #opened: Promise<Source> | undefined;

  constructor(url: string, options: SourceUrlOptions, opener: Opener) {
    this.type = opener.type;
    this.uri = withoutPassword(url);
    this.#url = url;
    this.#options = options;
    this.#opener = opener;
  }

  get id(): string {
    return this.#options.sourceId ?? this.#opener.identify(this.#url, this.#options);
  }

  /** @param used options that others have taken: one that this kind does not have is left to them. */
  open(lancedb?: LanceDB, used?: Set<string>): Promise<Source> {
    this.#opened ??= this.#open(lancedb, used);
    return this.#opened;
  }

  async #open(lancedb: LanceDB | undefined, used: Set<string> | undefined): Promise<Source> {
    const offered = ["sourceId", ...(await this.#opener.offered())];
    const given = Object.entries(this.#options).filter(([, value]) => value !== undefined);
    const other = given.find(([name]) => !offered.includes(name));
    if (other && !used) throw notOffered(other[0], this.type, offered);
    const own = given.filter(([name]) => offered.includes(name));
    for (const [name] of own) used?.add(name);
    return this.#opener.open(this.#url, Object.fromEntries(own), lancedb);
  }

  async capture(request: CaptureRequest): Promise<Capture> {
    return (await this.open()).capture(request);
  }

  async check(request: CheckRequest): Promise<string> {
    const source = await this.open();
    return source.check ? source.check(request) : `${source.uri} is looked at when it is captured`;
  }
}

function notOffered(name: string, type: string, offered: readonly string[]): ValidationError {
  return new ValidationError(
    `${name} is not an option of a source of the kind ${type}. It has ${offered.join(", ")}.`,
  );
}

/**
 * Sources that are named by addresses with options in common, their kinds loaded. Each takes of the options what its kind has.
 *
 * @throws ValidationError for an option that none has.
 */
export async function openSources(
  sources: readonly (string | Source)[],
  options: SourceUrlOptions,
  lancedb?: LanceDB,
): Promise<Source[]> {
  const used = new Set<string>(["sourceId"]);
  const opened: Source[] = [];
  for (const source of sources) {
    const named = typeof source === "string" ? sourceFromUrl(source, options) : source;
    const shared = typeof source === "string" ? used : undefined;
    opened.push(named instanceof SourceAtUrl ? await named.open(lancedb, shared) : named);
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || used.has(name)) continue;
    const types = [...new Set(opened.map(({ type }) => type))].join(" or ");
    throw new ValidationError(`${name} is not an option of a source of the kind ${types}.`);
  }
  return opened;
}
