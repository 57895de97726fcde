import { readFileSync } from "node:fs";
import ignore, { type Ignore } from "ignore";
import { ValidationError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { localPath } from "../../fs/local-path.ts";

/** In any directory: patterns of what is left out below it. */
export const IGNORE_FILE = ".backupignore";

interface Level {
  /** Bytes of text before the path that its patterns are about. */
  readonly skip: number;
  readonly patterns: Ignore;
}

/**
 * What is left out, as `.gitignore` says it: by the options' patterns, then by the files of the directories, the innermost first. What is in
 * a directory that is left out cannot be taken back.
 */
export class IgnoreRules {
  readonly #asked: Level | undefined;
  readonly #levels: readonly Level[];

  private constructor(asked: Level | undefined, levels: readonly Level[]) {
    this.#asked = asked;
    this.#levels = levels;
  }

  /** @throws ValidationError for a pattern that cannot be read. */
  static of(patterns: readonly string[]): IgnoreRules {
    const asked = patterns.length > 0 ? { skip: 0, patterns: compile(patterns, "exclude") } : undefined;
    return new IgnoreRules(asked, []);
  }

  /**
   * For what lies in a directory that has a file of patterns.
   *
   * @param directory relative to the root, empty for that.
   */
  below(directory: string, text: string): IgnoreRules {
    const place = directory === "" ? IGNORE_FILE : `${directory}/${IGNORE_FILE}`;
    const level = { skip: directory === "" ? 0 : directory.length + 1, patterns: compile(text, place) };
    return new IgnoreRules(this.#asked, [level, ...this.#levels]);
  }

  /** @param path relative to the root, with a slash at the end where it is a directory. */
  leavesOut(path: string): boolean {
    for (const { skip, patterns } of this.#asked ? [this.#asked, ...this.#levels] : this.#levels) {
      const { ignored, unignored } = patterns.test(path.slice(skip));
      if (ignored || unignored) return ignored;
    }
    return false;
  }
}

function compile(patterns: string | readonly string[], place: string): Ignore {
  try {
    return ignore({ ignorecase: false, allowRelativePaths: true }).add(patterns);
  } catch (error) {
    throw new ValidationError(`${place} has a pattern that cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** The lines of files of patterns. @throws ValidationError where one cannot be read */
export function patternsFrom(files: readonly string[]): string[] {
  return files.flatMap((file) => {
    try {
      return readFileSync(localPath(file, "excludeFrom"), "utf8").split(/\r?\n/);
    } catch (error) {
      if (error instanceof ValidationError) throw error;
      throw new ValidationError(`excludeFrom names ${file}, which cannot be read: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  });
}
