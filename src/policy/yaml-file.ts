import { readFileSync } from "node:fs";
import { type Document, isAlias, isCollection, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { isError, reasonOf, toIoError } from "../fs/io.ts";
import { fillIn } from "./placeholders.ts";
import { PolicyFileError, type PolicyProblem } from "./policy-file-error.ts";

export type KeyPath = readonly (string | number)[];

/** So often aliases may be followed: a few lines of them can stand for more than memory holds. */
const MOST_ALIASES = 100;

/** A YAML file whose placeholders are filled in, and where in it each value stands. */
export class YamlFile {
  readonly file: string;
  /** Its content, as plain values. */
  readonly value: unknown;
  readonly #document: Document;
  readonly #lines: LineCounter;
  /** What was written where a value was filled in. */
  readonly #written: ReadonlyMap<unknown, string>;

  private constructor(
    file: string,
    document: Document,
    value: unknown,
    lines: LineCounter,
    written: ReadonlyMap<unknown, string>,
  ) {
    this.file = file;
    this.value = value;
    this.#document = document;
    this.#lines = lines;
    this.#written = written;
  }

  /** @throws PolicyFileError, IoError */
  static read(file: string, env: Readonly<Record<string, string | undefined>>): YamlFile {
    const lines = new LineCounter();
    const document = parseDocument(readText(file), {
      lineCounter: lines,
      prettyErrors: false,
      stringKeys: true,
      // Looked at below: the parser compares each key with every other.
      uniqueKeys: false,
      strict: true,
    });
    const found = [...document.errors, ...document.warnings];
    const problems = found.map(({ message, pos }): PolicyProblem => {
      return { line: lines.linePos(pos[0]).line, key: "", message: inOneLine(message) };
    });
    if (problems.length > 0) throw new PolicyFileError(file, problems);
    const written = new Map<unknown, string>();
    visit(document, {
      Map(_key, node, above) {
        for (const [message, offset] of wrongKeys(node.items)) {
          problems.push({ line: lines.linePos(offset).line, key: keysOf(above), message });
        }
      },
      Scalar(key, node, above) {
        if (key === "key" || typeof node.value !== "string" || !node.value.includes("$")) return;
        const line = lines.linePos(node.range?.[0] ?? 0).line;
        const filled = fillIn(node.value, env);
        for (const message of filled.problems) problems.push({ line, key: keysOf(above), message });
        if (filled.text === node.value) return;
        if (filled.isFilled) written.set(node, node.value);
        node.value = filled.text;
      },
    });
    if (problems.length > 0) throw new PolicyFileError(file, problems);
    try {
      const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
      return new YamlFile(file, document, value, lines, written);
    } catch (error) {
      throw new PolicyFileError(file, [{ line: 1, key: "", message: inOneLine(reasonOf(error)) }]);
    }
  }

  /** The line of a value, or of what is next above it where there is none; from 1. */
  lineOf(path: KeyPath): number {
    const { line } = this.#find(path);
    return line;
  }

  has(path: KeyPath): boolean {
    return this.#find(path).isThere;
  }

  /** What was written in place of a value that was filled in; undefined for every other. */
  writtenAt(path: KeyPath): string | undefined {
    return this.#written.get(this.#find(path).node);
  }

  #find(path: KeyPath): { readonly node: unknown; readonly line: number; readonly isThere: boolean } {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const key of path) {
      if (isAlias(node)) node = node.resolve(this.#document);
      if (!isCollection(node)) return { node: undefined, line: this.#lineAt(offset), isThere: false };
      const pair = node.items.find((item) => keyOf(item) === key);
      const at = rangeOf(
        pair !== undefined && typeof key === "string" ? keyNodeOf(pair) : node.get(key, true),
      );
      if (pair === undefined && typeof key === "string") {
        return { node: undefined, line: this.#lineAt(offset), isThere: false };
      }
      offset = at ?? offset;
      node = node.get(key, true);
    }
    if (isAlias(node)) node = node.resolve(this.#document);
    return { node, line: this.#lineAt(offset), isThere: node !== undefined };
  }

  #lineAt(offset: number): number {
    return this.#lines.linePos(offset).line;
  }
}

/** Keys that a mapping has twice, or that JavaScript keeps for itself, and where they stand. */
function wrongKeys(items: readonly unknown[]): [message: string, offset: number][] {
  const seen = new Set<unknown>();
  return items.flatMap((item): [string, number][] => {
    const [key, offset] = [keyOf(item), rangeOf(keyNodeOf(item)) ?? 0];
    if (key === "__proto__") return [["a key must not be __proto__", offset]];
    if (seen.has(key)) return [[`${JSON.stringify(key)} is there twice`, offset]];
    seen.add(key);
    return [];
  });
}

/** The keys of the mappings that a value lies in. */
function keysOf(above: readonly unknown[]): string {
  return above
    .map(keyOf)
    .filter((key) => typeof key === "string")
    .join(".");
}

function keyNodeOf(item: unknown): unknown {
  return typeof item === "object" && item !== null && "key" in item ? item.key : undefined;
}

function keyOf(item: unknown): unknown {
  const key = keyNodeOf(item);
  return isScalar(key) ? key.value : undefined;
}

function rangeOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  return Array.isArray(node.range) && typeof node.range[0] === "number" ? node.range[0] : undefined;
}

function readText(file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (isError(error) && error.name === "TypeError") {
      throw new PolicyFileError(file, [{ line: 1, key: "", message: "the file is not UTF-8" }]);
    }
    throw toIoError(error, "read", file);
  }
}

const inOneLine = (message: string) =>
  message
    .replace("Maximum call stack size exceeded", "it is nested too deeply")
    .replaceAll(/\s+/g, " ")
    .replace(/\.$/, "");
