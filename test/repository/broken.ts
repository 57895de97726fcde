import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { blobName, REPOSITORY, snapshotName } from "../../src/engine/format/names.ts";
import type { SnapshotFile } from "../../src/sources/lancedb/snapshot-view.ts";
import { fileLike, filesOf, newFilesOf, type SoundRepository, soundRepository } from "./sound.ts";

/** What a fixture has broken. */
interface Broken {
  /** Ids of the snapshots that cannot be restored in whole any more. */
  readonly hurt: readonly string[];
  /** The object that is wrong, by its name in the repository. */
  readonly object: string;
  /** The file that the object holds, where it is a blob that a snapshot names. */
  readonly file?: SnapshotFile;
}

export type Break = (repository: SoundRepository) => Broken | Promise<Broken>;

/** A blob that only the second snapshot names. */
const onlySecond = (repository: SoundRepository) => fileLike(newFilesOf(repository), /^data\//);

function inBlob(change: (path: string, file: SnapshotFile, repository: SoundRepository) => void): Break {
  return (repository) => {
    const file = onlySecond(repository);
    const object = blobName(file.sha256);
    change(writable(join(repository.directory, object)), file, repository);
    return { hurt: [repository.second.snapshot.id], object, file };
  };
}

/** What can be wrong with a blob. */
export const BROKEN_BLOBS: Readonly<Record<string, Break>> = {
  "a blob is missing": inBlob((path) => rmSync(path)),
  "a blob is cut short": inBlob((path, file) => truncateSync(path, file.size - 1)),
  "a blob is empty": inBlob((path) => truncateSync(path, 0)),
  "a blob has a byte too many": inBlob((path) => writeFileSync(path, "x", { flag: "a" })),
  "a bit of a blob is flipped": inBlob((path, file) => flipBit(path, file.size >> 1)),
  "a blob is a link to its content": inBlob((path, _file, { directory }) => {
    renameSync(path, join(directory, "..", "elsewhere"));
    symlinkSync(join(directory, "..", "elsewhere"), path);
  }),
  "a blob is a directory": inBlob((path) => {
    rmSync(path);
    mkdirSync(path);
  }),
  "a blob has the content of another": inBlob((path, file, { directory, second }) => {
    const other = filesOf(second).find(({ size, sha256 }) => size !== file.size && sha256 !== file.sha256);
    cpSync(join(directory, blobName(other?.sha256 ?? "")), path);
  }),
  "two blobs are swapped": (repository) => {
    const { directory, first, second } = repository;
    const bySize = Map.groupBy(filesOf(first), ({ size }) => size);
    const [a, b] =
      [...bySize.values()].find((files) => new Set(files.map((file) => file.sha256)).size > 1) ?? [];
    if (!a || !b) throw new Error("no two files have the same size");
    const [one, other] = [a, b].map(({ sha256 }) => join(directory, blobName(sha256))) as [string, string];
    renameSync(one, `${one}.aside`);
    renameSync(other, one);
    renameSync(`${one}.aside`, other);
    return { hurt: [first.snapshot.id, second.snapshot.id], object: blobName(a.sha256), file: a };
  },
  "a blob that both snapshots share is missing": (repository) => {
    const file = fileLike(filesOf(repository.first), /^data\//);
    const object = blobName(file.sha256);
    rmSync(join(repository.directory, object));
    return { hurt: both(repository), object, file };
  },
};

function inDocument(change: (path: string, repository: SoundRepository) => void): Break {
  return (repository) => {
    const { id } = repository.second.snapshot;
    change(join(repository.directory, snapshotName(id)), repository);
    return { hurt: [id], object: snapshotName(id) };
  };
}

/** An edit by somebody who makes the checksum fit. */
function forged(edit: (text: string) => string): Break {
  return inDocument((path) => {
    const text = readFileSync(path, "utf8");
    const body = edit(text.slice(0, -67));
    if (body === text.slice(0, -67)) throw new Error("the edit changes nothing");
    writeFileSync(path, `${body}${createHash("sha256").update(body).digest("hex")}"}\n`);
  });
}

/** Puts another path in the place of a data file's. */
const withPath = (path: string) =>
  forged((text) => text.replace(/\["main\.lance\/data\/[^"]+"/, JSON.stringify([path]).slice(0, -1)));

/** What can be wrong with a snapshot's document. */
export const BROKEN_DOCUMENTS: Readonly<Record<string, Break>> = {
  "a document is empty": inDocument((path) => truncateSync(path, 0)),
  "a document is cut short": inDocument((path) => truncateSync(path, readFileSync(path).length - 200)),
  "a document was edited": inDocument((path) =>
    writeFileSync(path, readFileSync(path, "utf8").replace("main.lance/data/", "main.lance/dada/")),
  ),
  "a document is of a newer format": forged((text) => text.replace('{"format":2,', '{"format":3,')),
  "a document has another one's id": inDocument((path, { directory, first }) =>
    cpSync(join(directory, snapshotName(first.snapshot.id)), path),
  ),
  "a path climbs out": withPath("../../outside.lance"),
  "a path is absolute": withPath("/etc/passwd"),
  "a path has a drive": withPath("C:/outside.lance"),
  "a path has a backslash": withPath("data\\..\\..\\outside.lance"),
  "a path has a NUL": withPath("data/a\0b.lance"),
  "a table's directory climbs out": forged((text) => text.replaceAll("main.lance", "../main.lance")),
  "two paths differ by case alone": forged((text) =>
    text.replace(
      /\n(\["main\.lance\/data\/)([^"]+)("[^\n]*?,?)\n(\["main\.lance\/data\/)[^"]+"/,
      (_all, a, name, b, c) => `\n${a}${name}${b}\n${c}${String(name).toUpperCase()}"`,
    ),
  ),
  "a path is another one's directory": forged((text) =>
    text.replace(
      /\n(\["main\.lance\/data\/)([^"]+)("[^\n]*?,?)\n(\["main\.lance\/data\/)[^"]+"/,
      (_all, a, name, b, c) => `\n${a}${name}${b}\n${c}${name}/inner"`,
    ),
  ),
};

/** What is wrong with no snapshot, and is told all the same. */
export const ODD_REPOSITORIES: Readonly<Record<string, Break>> = {
  "repository.json is missing": ({ directory }) => {
    rmSync(join(directory, REPOSITORY));
    return { hurt: [], object: REPOSITORY };
  },
  "repository.json was edited": ({ directory }) => {
    const path = join(directory, REPOSITORY);
    writeFileSync(path, readFileSync(path, "utf8").replace("createdAt", "creaaedAt"));
    return { hurt: [], object: REPOSITORY };
  },
  "repository.json is of a newer format": ({ directory }) => {
    const path = join(directory, REPOSITORY);
    writeFileSync(path, readFileSync(path, "utf8").replace('"format": 2', '"format": 3'));
    return { hurt: [], object: REPOSITORY };
  },
  "a blob is named by no snapshot": ({ directory }) => {
    const object = addBlob(directory, "nobody needs this");
    return { hurt: [], object };
  },
  "a blob that no snapshot names is damaged": ({ directory }) => {
    const object = addBlob(directory, "nobody needs this");
    flipBit(writable(join(directory, object)), 3);
    return { hurt: [], object };
  },
  "a blob is half-written": ({ directory }) => {
    const object = `blobs/ab/.${randomUUID()}.tmp`;
    mkdirSync(join(directory, "blobs/ab"), { recursive: true });
    writeFileSync(join(directory, object), "half of someth");
    return { hurt: [], object };
  },
  "a document is a link": ({ directory, second }) => {
    const object = snapshotName(second.snapshot.id);
    const path = join(directory, object);
    renameSync(path, join(directory, "..", "elsewhere.json"));
    symlinkSync(join(directory, "..", "elsewhere.json"), path);
    return { hurt: [second.snapshot.id], object };
  },
  "another repository's objects are mixed in": async ({ directory }) => {
    const other = await soundRepository();
    for (const room of ["blobs", "snapshots"]) {
      cpSync(join(other.directory, room), join(directory, room), { recursive: true });
    }
    return { hurt: [], object: snapshotName(other.first.snapshot.id) };
  },
  "another repository's documents are mixed in": async ({ directory }) => {
    const other = await soundRepository();
    cpSync(join(other.directory, "snapshots"), join(directory, "snapshots"), { recursive: true });
    return { hurt: both(other), object: snapshotName(other.first.snapshot.id) };
  },
};

export function flipBit(path: string, offset: number, bit = 4): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ bit;
  // In place: the file's number stays.
  writeFileSync(path, bytes, { flag: "r+" });
}

function addBlob(directory: string, content: string): string {
  const object = blobName(createHash("sha256").update(content).digest("hex"));
  mkdirSync(dirname(join(directory, object)), { recursive: true });
  writeFileSync(join(directory, object), content);
  return object;
}

function writable(path: string): string {
  chmodSync(path, 0o644);
  return path;
}

function both({ first, second }: SoundRepository): string[] {
  return [first.snapshot.id, second.snapshot.id];
}
