import { statSync } from "node:fs";
import type { Capture, CaptureRequest, Source } from "../../engine/source-contract.ts";
import type { LeftOutOfPart } from "../../engine/source-kind.ts";
import { ValidationError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { identityOfPath } from "../source-identity.ts";
import { writeDetails } from "./files-part.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { unreadable, walkTree } from "./walk-tree.ts";

export interface FilesOptions {
  readonly sourceId?: string | undefined;
  /** Patterns as in `.gitignore`. */
  readonly exclude?: readonly string[] | undefined;
  /** Default true: what is mounted below the directory is left out. */
  readonly oneFileSystem?: boolean | undefined;
}

/** As many names are in the log. */
const MOST_TOLD = 20;

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

  /**
   * @throws ValidationError where there is no such directory, or nothing in it, unless that is allowed.
   * @throws IoError where something in it cannot be read, unless that is to be left out.
   */
  async capture({ exclude = [], onUnsupported, allowEmpty, signal }: CaptureRequest): Promise<Capture> {
    assertDirectory(this.uri);
    const { exclude: own = [], oneFileSystem = true } = this.#options;
    const lost: LeftOutOfPart[] = [];
    const events = {
      changed: new Set<string>(),
      vanished: new Set<string>(),
      ...(onUnsupported === "leave-out" && {
        onUnreadable: (path: string, error: unknown) => void lost.push(unreadable(path, error)),
      }),
    };
    const rules = IgnoreRules.of([...own, ...exclude]);
    const capturedAt = new Date();
    const tree = await walkTree(this.uri, { rules, oneFileSystem, events, signal });
    if (tree.entries.length === 0 && !allowEmpty) {
      throw new ValidationError(
        `There is nothing in ${this.uri} to be backed up, so no snapshot was made. Is its disk mounted? Where it is meant to be empty, set allowEmpty.`,
      );
    }
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
