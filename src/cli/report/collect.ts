import type {
  OnProgress,
  Repository,
  RetentionPolicy,
  Snapshot,
  SnapshotDetails,
} from "../../repository/index.ts";
import type { Storage } from "../../storage/storage.ts";
import type { ReportData } from "./report-data.ts";

export interface CollectOptions {
  readonly policy: RetentionPolicy;
  /** The policy in words. */
  readonly rules: string;
  /** Read every byte of every blob; else sizes alone. */
  readonly readAll: boolean;
  readonly storage: Storage;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** Asks the repository everything that the report shows. Changes nothing. */
export async function collect(repository: Repository, options: CollectOptions): Promise<ReportData> {
  const { policy, rules, readAll, signal, onProgress } = options;
  const madeAt = new Date();
  const snapshots = await repository.list();
  const results = await repository.verify(undefined, { readData: readAll, signal, onProgress });
  // Where a document is damaged no prune can be planned: the verification says so.
  const plan = await repository.prune({ ...policy, dryRun: true, signal }).catch((error: unknown) => {
    if (results.every(({ ok }) => ok)) throw error;
    const { timeZone = new Intl.DateTimeFormat().resolvedOptions().timeZone } = policy;
    return { kept: [], removed: [], timeZone };
  });
  return {
    location: repository.location,
    madeAt,
    snapshots,
    newest: await newestOfEach(repository, snapshots),
    stored: await sizeOfBlobs(options.storage, signal),
    retention: { rules, plan },
    verification: { kind: readAll ? "every byte was read" : "names and sizes were looked at", results },
  };
}

async function newestOfEach(
  repository: Repository,
  snapshots: readonly Snapshot[],
): Promise<SnapshotDetails[]> {
  const bySource = new Map<string, Snapshot>();
  const now = new Date();
  const ahead = snapshots.filter(({ createdAt }) => createdAt > now); // by a clock that was wrong: the newest is another
  for (const snapshot of [...snapshots.filter((each) => !ahead.includes(each)), ...ahead]) {
    const { id } = snapshot.source;
    if (!bySource.has(id)) bySource.set(id, snapshot);
  }
  return Promise.all(Array.from(bySource.values(), ({ id }) => repository.get(id)));
}

/** `blobs/` as docs/formats.md lays it down. */
async function sizeOfBlobs(storage: Storage, signal: AbortSignal): Promise<ReportData["stored"]> {
  let [blobs, bytes] = [0, 0];
  for await (const { size } of storage.list("blobs/")) {
    signal.throwIfAborted();
    blobs++;
    bytes += size;
  }
  return { blobs, bytes };
}
