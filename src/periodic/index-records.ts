import type { FtsOptions, HnswPqOptions, Index, IvfFlatOptions, IvfPqOptions, Table } from "@lancedb/lancedb";
import { ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { isObject } from "../fs/record.ts";
import type { LanceDB, LanceDBApi } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { IndexRecord } from "./file/backup-file.ts";

type IndexApi = LanceDBApi["Index"];
type Recipe = readonly [maker: keyof IndexApi, settings?: object];

/** How an index of each of LanceDB's kinds is made anew, like the one that was recorded. */
const RECIPES: Readonly<Record<string, (record: IndexRecord) => Recipe>> = {
  BTree: () => ["btree"],
  Bitmap: () => ["bitmap"],
  LabelList: () => ["labelList"],
  Fm: () => ["fm"],
  FTS: ({ details = {} }) => ["fts", textSettings(details)],
  IvfPq: (record) => ["ivfPq", unlessHamming(record)],
  IvfRq: (record) => ["ivfRq", unlessHamming(record)],
  IvfFlat: ({ details = {}, distanceType }) => ["ivfFlat", vectorSettings(details, distanceType)],
  IvfHnswPq: (record) => ["hnswPq", unlessHamming(record)],
  IvfHnswSq: (record) => ["hnswSq", unlessHamming(record)],
};

function configOf(api: IndexApi, record: IndexRecord): Index | undefined {
  const recipe = Object.hasOwn(RECIPES, record.type) ? RECIPES[record.type]?.(record) : undefined;
  if (recipe === undefined) return undefined;
  const [maker, settings] = recipe;
  if (!(maker in api)) throw new TypeError("the LanceDB in use does not have this kind of index");
  const make = api[maker] as (...settings: object[]) => Index;
  return settings ? make(settings) : make();
}

/** The distance of bits has an index of one kind only. */
function unlessHamming({ details = {}, distanceType }: IndexRecord): Partial<IvfPqOptions> {
  const settings = vectorSettings(details, distanceType);
  if (settings.distanceType === "hamming")
    throw new TypeError("this kind of index does not have this distance");
  return settings as Partial<IvfPqOptions>;
}

/** The indices of a table, as a file records them. */
export async function recordIndices(table: Table): Promise<IndexRecord[]> {
  const records: IndexRecord[] = [];
  for (const { name, columns, indexType, indexDetails } of await table.listIndices()) {
    const vector = indexType.startsWith("Ivf");
    const distanceType = vector ? (await table.indexStats(name))?.distanceType : undefined;
    // Where LanceDB cannot parse the details, it gives them as a text.
    const details = isObject(indexDetails) && Object.keys(indexDetails).length > 0 ? indexDetails : undefined;
    records.push({ name, columns, type: indexType, distanceType, details });
  }
  return records;
}

/**
 * Makes a table's indices anew. One that cannot be made (too few rows to train on, a kind that we do not
 * know) is a warning: the rows are all there, and searches without it find the same.
 */
export async function makeIndices(
  table: Table,
  records: readonly IndexRecord[],
  context: { readonly lancedb: LanceDB; readonly table: string; readonly logger: Logger },
): Promise<string[]> {
  const made: string[] = [];
  if (records.length === 0) return made;
  const { Index: api } = await context.lancedb.api();
  for (const record of records) {
    const { name, columns, type } = record;
    const [column, ...others] = columns;
    try {
      const config = configOf(api, record);
      if (config === undefined || column === undefined || others.length > 0) {
        throw new TypeError(`it is not known how to make an index of the kind ${type}`);
      }
      await table.createIndex(column, { config, name, replace: true });
      if (!(await table.listIndices()).some((index) => index.name === name)) {
        const reason = "the LanceDB in use gives indices their names itself";
        context.logger.warn("an index has another name", { table: context.table, index: name, reason });
      }
      made.push(name);
    } catch (error) {
      const reason = reasonOf(error);
      context.logger.warn("an index could not be created again", {
        table: context.table,
        index: name,
        reason,
      });
    }
  }
  return made;
}

/** Settings of an index as LanceDB states them of one that is there; JSON. */
type IndexDetails = Readonly<Record<string, unknown>>;

type VectorSettings = Pick<IvfPqOptions, "numSubVectors" | "numBits"> &
  Pick<HnswPqOptions, "m" | "efConstruction"> &
  Pick<IvfFlatOptions, "distanceType" | "maxIterations" | "sampleRate">;

const DISTANCES = ["l2", "cosine", "dot", "hamming"] as const;
/** LanceDB ends the process over any other. */
const LANGUAGE =
  /^(?:Arabic|Danish|Dutch|English|Finnish|French|German|Greek|Hungarian|Italian|Norwegian|Portuguese|Romanian|Russian|Spanish|Swedish|Tamil|Turkish)$/;
const TOKENIZER = /^(?:simple|whitespace|raw|ngram|icu|icu\/split|(?:jieba|lindera)\/[\w-]+)$/;
const MOST_STOP_WORDS = 100_000;

/**
 * The settings of a vector index, for making one like it. LanceDB tells of all but the number of partitions,
 * which it then chooses by the number of rows.
 *
 * @throws ValidationError for what no such index has: a file can say anything.
 */
function vectorSettings(details: IndexDetails, distanceType: string | undefined): VectorSettings {
  const distance = DISTANCES.find((known) => known === distanceType);
  if (distanceType !== undefined && distance === undefined) throw wrong("distance", distanceType);
  const compression = member(details, "compression");
  const graph = member(details, "hnsw");
  const hints = member(details, "runtime_hints");
  return present<VectorSettings>({
    distanceType: distance,
    numBits: whole(compression["num_bits"], "number of bits", 16),
    numSubVectors: whole(compression["num_sub_vectors"], "number of sub-vectors", 65_536),
    m: whole(graph["max_connections"], "number of connections", 4096),
    efConstruction: whole(graph["construction_ef"], "ef of construction", 1_000_000),
    maxIterations: whole(hints["lance.ivf.max_iters"], "number of iterations", 100_000),
    sampleRate: whole(hints["lance.ivf.sample_rate"], "sample rate", 1_000_000),
  });
}

/** The settings of a full text index. @throws ValidationError as `vectorSettings`. */
function textSettings(details: IndexDetails): Partial<FtsOptions> {
  const blockSize = whole(details["block_size"], "block size", 256);
  return present<Partial<FtsOptions>>({
    withPosition: flag(details["with_position"]),
    baseTokenizer: text(details["base_tokenizer"], TOKENIZER) as FtsOptions["baseTokenizer"],
    language: text(details["language"], LANGUAGE),
    maxTokenLength: whole(details["max_token_length"], "length of a token", 2 ** 31),
    lowercase: flag(details["lower_case"]),
    stem: flag(details["stem"]),
    removeStopWords: flag(details["remove_stop_words"]),
    customStopWords: words(details["custom_stop_words"]),
    asciiFolding: flag(details["ascii_folding"]),
    ngramMinLength: whole(details["min_ngram_length"], "length of an n-gram", 1000),
    ngramMaxLength: whole(details["max_ngram_length"], "length of an n-gram", 1000),
    prefixOnly: flag(details["prefix_only"]),
    blockSize: blockSize === 128 || blockSize === 256 ? blockSize : undefined,
  });
}

function wrong(what: string, value: unknown): ValidationError {
  const shown = String(JSON.stringify(value)).slice(0, 80);
  return new ValidationError(`The ${what} of the index is said to be ${shown}.`);
}

function member(details: IndexDetails, name: string): IndexDetails {
  const value = details[name] ?? {};
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(name, value);
  return value as IndexDetails;
}

/** A number, or its digits in a text, as LanceDB states hints. */
function whole(value: unknown, what: string, most: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  const number = typeof value === "string" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number > 0 && number <= most) return number;
  throw wrong(what, value);
}

function flag(value: unknown): boolean | undefined {
  if (value === undefined || value === null || typeof value === "boolean") return value ?? undefined;
  throw wrong("setting", value);
}

function text(value: unknown, pattern: RegExp): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && pattern.test(value)) return value;
  throw wrong("tokenizer", value);
}

function words(value: unknown): string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const isList = Array.isArray(value) && value.length <= MOST_STOP_WORDS;
  if (isList && value.every((word) => typeof word === "string")) return value;
  throw wrong("list of stop words", value);
}

/** Without the members that are undefined: LanceDB takes those for given. */
function present<T extends object>(settings: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}
