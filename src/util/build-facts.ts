import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// What the build knows. Here it is as the sources find it, which run as they are; in the built package this module is
// constants (scripts/lib/bundle.mjs), so that it works wherever a bundler puts it, without a file beside it.

/** Of this package's own package.json. */
export interface Manifest {
  readonly version: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** A program of ours for a thread or a process: its file, or in the built package its code, which is CommonJS. */
export type OwnProgram = { readonly file: string } | { readonly code: string };

export const manifest: Manifest = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

const program = (path: string): OwnProgram => ({ file: fileURLToPath(new URL(path, import.meta.url)) });

/** Hashes, copies and checks files in a thread. */
export const filesThread: OwnProgram = program("../fs/workers/worker.ts");

/** Hashes, encodes and decodes blobs in a thread. */
export const codecThread: OwnProgram = program("../engine/codec/codec-worker.ts");

/** Opens SQLite databases in a process. */
export const sqliteProgram: OwnProgram = program("../sources/sqlite/sqlite-worker.ts");
