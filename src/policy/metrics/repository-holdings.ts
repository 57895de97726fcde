import { BLOBS, parseBlobName, parseSnapshotName, SNAPSHOTS } from "../../engine/format/names.ts";
import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { openStorage, type StorageOptions } from "../../repository/index.ts";
import type { MetricSample } from "./metric-registry.ts";

/** What lies in a repository. */
interface Holdings {
  readonly snapshots: number;
  readonly blobs: number;
  /** Of the blobs, as they are stored. */
  readonly bytes: number;
}

/** A repository is not listed more often, however often somebody asks. */
const MEASURE_MS = 15 * 60_000;

/** What lies in repositories, found by listing them: when somebody asks, and something may have changed. */
export class RepositoryHoldings {
  readonly #logger: Logger;
  readonly #options: StorageOptions;
  readonly #found = new Map<string, Holdings>();
  readonly #measuredAt = new Map<string, number>();
  readonly #changed: Set<string>;
  #measuring: Promise<void> | undefined;

  constructor(locations: Iterable<string>, logger: Logger, options: StorageOptions) {
    this.#changed = new Set(locations);
    this.#logger = logger;
    this.#options = options;
  }

  /** Something may have. */
  changed(location: string): void {
    this.#changed.add(location);
  }

  /** What was found last. What has changed since is looked at for who asks next. */
  *samples(what: keyof Holdings): Generator<MetricSample> {
    void this.measure();
    for (const [repository, holdings] of this.#found) yield { labels: { repository }, value: holdings[what] };
  }

  /** Lists the repositories that may have changed, and were not just listed. What fails is a warning. */
  measure(): Promise<void> {
    const now = performance.now();
    const due = [...this.#changed].filter(
      (location) => now - (this.#measuredAt.get(location) ?? Number.NEGATIVE_INFINITY) >= MEASURE_MS,
    );
    if (due.length === 0 || this.#measuring) return this.#measuring ?? Promise.resolve();
    this.#measuring = Promise.all(due.map((location) => this.#measure(location, now))).then(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #measure(location: string, now: number): Promise<void> {
    this.#measuredAt.set(location, now);
    this.#changed.delete(location);
    try {
      this.#found.set(location, await holdingsOf(location, this.#options));
    } catch (error) {
      this.#found.delete(location);
      this.#changed.add(location);
      this.#logger.warn("the contents of a repository cannot be read", { location, reason: reasonOf(error) });
    }
  }
}

async function holdingsOf(location: string, options: StorageOptions): Promise<Holdings> {
  const storage = await openStorage(location, { ...options, readOnly: true });
  let [snapshots, blobs, bytes] = [0, 0, 0];
  for await (const { name } of storage.list(SNAPSHOTS)) if (parseSnapshotName(name)) snapshots++;
  for await (const { name, size } of storage.list(BLOBS)) {
    if (!parseBlobName(name)) continue;
    blobs++;
    bytes += size;
  }
  return { snapshots, blobs, bytes };
}
