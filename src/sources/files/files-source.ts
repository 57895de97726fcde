import { statSync } from "node:fs";
import type { Capture, CaptureRequest, CheckRequest, Source } from "../../engine/source-contract.ts";
import type { LeftOutOfPart } from "../../engine/source-kind.ts";
import { isNotFound, ValidationError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { advice } from "../../hint.ts";
import { counted } from "../../util/format.ts";
import { identityOfPath } from "../source-identity.ts";
import { FileEntry, type FileEvents } from "./file-entry.ts";
import { writeDetails } from "./files-part.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { type Tree, unreadable, type WalkOptions, walkTree } from "./walk-tree.ts";

export interface FilesOptions {
  readonly sourceId?: string | undefined;
  /** Patterns as in `.gitignore`. */
  readonly exclude?: readonly string[] | undefined;
  /** Default true: what is mounted below the directory is left out. */
  readonly oneFileSystem?: boolean | undefined;
}

/** As many names are in the log. */
const MOST_TOLD = 20;
/** So many files are opened before others have their turn. */
const STRETCH = 512;

/**
 * The files below a directory. They are looked at when they are captured, and read after that: one that is changed meanwhile is in the snapshot
 * as it is read, which the snapshot and the log say.
 */
export class FilesSource implements Source {
  readonly type = "files";
  /** Absolute. */
  readonly uri: string;
  readonly id: string;
  readonly #options: FilesOptions;

  constructor(directory: string, options: FilesOptions = {}) {
    this.uri = directory;
    this.id = options.sourceId ?? identityOfPath("files", directory);
    this.#options = options;
  }

  get canBeLookedAt(): boolean {
    return true;
  }

  get root(): string {
    return this.uri;
  }

  /** Opens each file, and reads none. @throws as `capture` */
  async check({ exclude = [], onUnsupported, allowEmpty, signal }: CheckRequest): Promise<string> {
    assertDirectory(this.uri);
    const lost: string[] = [];
    const onUnreadable = (path: string) => void lost.push(path);
    const tree = await this.#walk(exclude, {
      ...{ changed: new Set<string>(), vanished: new Set<string>() },
      ...(onUnsupported === "leave-out" && { onUnreadable }),
      signal,
    });
    assertNotEmpty(this.uri, tree, allowEmpty);
    for (const [index, entry] of tree.entries.entries()) {
      if (index % STRETCH === 0) await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      try {
        if (entry instanceof FileEntry) entry.assertReadable();
      } catch (error) {
        if (isNotFound(error)) continue; // gone since: what is not there any more is left out
        if (onUnsupported !== "leave-out") throw error;
        lost.push(entry.path);
      }
    }
    const found = `${this.uri}: ${counted(tree.files, "file")}`;
    return lost.length === 0 ? found : `${found}, ${counted(lost.length, "name")} cannot be read`;
  }

  #walk(
    exclude: readonly string[],
    { withXattrs, signal, ...events }: FileEvents & Pick<WalkOptions, "withXattrs" | "signal">,
  ) {
    const { exclude: own = [], oneFileSystem = true } = this.#options;
    const rules = IgnoreRules.of([...own, ...exclude]);
    return walkTree(this.uri, { rules, oneFileSystem, withXattrs, events, signal });
  }

  /**
   * @throws ValidationError where there is no such directory, or nothing in it, unless that is allowed.
   * @throws IoError where something in it cannot be read, unless that is to be left out.
   */
  async capture(request: CaptureRequest): Promise<Capture> {
    const { exclude = [], onUnsupported, allowEmpty, writesNothing = false, signal } = request;
    assertDirectory(this.uri);
    const lost: LeftOutOfPart[] = [];
    const events = {
      changed: new Set<string>(),
      vanished: new Set<string>(),
      ...(onUnsupported === "leave-out" && {
        onUnreadable: (path: string, error: unknown) => void lost.push(unreadable(path, error)),
      }),
    };
    const capturedAt = new Date();
    const tree = await this.#walk(exclude, { ...events, withXattrs: !writesNothing, signal });
    const { xattrsUnread: unread } = tree;
    assertNotEmpty(this.uri, tree, allowEmpty);
    // Told once: it is so at each backup of a machine that has no such program.
    const isNews = unread !== request.previous?.details["xattrsUnread"];
    return {
      capturedAt,
      async *entries() {
        yield* tree.entries;
      },
      finish: async () => {
        const { changed, vanished } = events;
        const leftOut = [...tree.leftOut, ...lost];
        return {
          ...writeDetails({ ...tree, leftOut, changed }),
          warnings: [
            ...(isNews && unread
              ? [{ message: "extended attributes are not in the snapshot, or not all", meta: { unread } }]
              : []),
            ...told(
              "files changed while they were backed up; they are in the snapshot as they were read",
              changed,
            ),
            ...told("files were removed while they were backed up, and are not in the snapshot", vanished),
          ],
        };
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

function told(message: string, names: Iterable<string>) {
  const all = [...names];
  return all.length === 0 ? [] : [{ message, meta: { count: all.length, names: all.slice(0, MOST_TOLD) } }];
}

function assertNotEmpty(uri: string, { entries }: Tree, allowEmpty: boolean | undefined): void {
  if (entries.length > 0 || allowEmpty) return;
  throw new ValidationError(
    advice`There is nothing to back up in ${uri}, so no snapshot was made. Is its disk mounted? If it is meant to be empty, back it up ${{ options: { allowEmpty: true } }}.`,
  );
}

function assertDirectory(path: string): void {
  try {
    if (statSync(path).isDirectory()) return;
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "read", path);
    throw new ValidationError(`There is no directory ${path}.`);
  }
  throw new ValidationError(
    `${path} is a file. Name its directory, or sqlite:${path} where it is an SQLite database.`,
  );
}
