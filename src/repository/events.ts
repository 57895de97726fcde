import type { VerificationResult } from "../engine/verify/result.ts";
import { stackOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
import type { TakenSnapshot } from "../sources/lancedb/snapshot-view.ts";
import { Listeners } from "../util/listeners.ts";
import { type SpanAttributes, type WorkSpan, withSpan } from "../util/trace-span.ts";
import { withoutPassword } from "../util/without-password.ts";
import type { PruneReport } from "./prune-view.ts";
import type { RestorePartsReport } from "./restore-parts.ts";

// What a repository tells of its work, for notices, metrics and records: one event for each operation, when it has ended.

/** When an operation ran, and in which repository. */
interface Ended {
  readonly repository: { readonly id: string | undefined; readonly location: string };
  readonly startedAt: Date;
  readonly endedAt: Date;
  /** By a clock that nobody sets. */
  readonly durationMs: number;
}

/** How it ended: `aborted` by its signal. The result and the error are those that the caller got. */
type Outcome<Asked, Result> = Ended &
  Asked &
  (
    | { readonly outcome: "success"; readonly result: Result; readonly error?: undefined }
    | { readonly outcome: "failure" | "aborted"; readonly result?: undefined; readonly error: unknown }
  );

interface BackupAsked {
  readonly type: "backup";
  /** Places, as they were named; without passwords. */
  readonly sources: readonly string[];
  /** Whether stamps were trusted (`incremental`), or every byte was read again. */
  readonly kind: "full" | "incremental";
}

interface RestoreAsked {
  readonly type: "restore";
  /** The id or name that was asked for; the result has the exact id. */
  readonly snapshot: string;
  readonly targets: readonly string[];
}

interface VerifyAsked {
  readonly type: "verify";
  /** The id or name that was asked for; undefined: all snapshots, and the repository around them. */
  readonly snapshot: string | undefined;
  readonly restoreTest: boolean;
}

interface PruneAsked {
  readonly type: "prune";
}

/** A backup. Its result is the snapshot, with its id, sources, sizes, and tables that have shrunk. */
export type BackupEvent = Outcome<BackupAsked, TakenSnapshot>;
export type RestoreEvent = Outcome<RestoreAsked, RestoreReport | RestorePartsReport>;
/** A verification. Damage is a result that is not `ok`, and no failure of the work. */
export type VerifyEvent = Outcome<VerifyAsked, readonly VerificationResult[]>;
export type PruneEvent = Outcome<PruneAsked, PruneReport>;

/** What the log got as a warning. */
export interface WarningEvent {
  readonly type: "warning";
  readonly repository: { readonly id: string | undefined; readonly location: string };
  readonly at: Date;
  readonly message: string;
  readonly meta: Readonly<Record<string, unknown>>;
}

/** By what `on` is told. A dry run makes no event. */
export interface RepositoryEvents {
  readonly backup: BackupEvent;
  readonly restore: RestoreEvent;
  readonly verify: VerifyEvent;
  readonly prune: PruneEvent;
  readonly warning: WarningEvent;
}

export type RepositoryEvent = RepositoryEvents[keyof RepositoryEvents];

type OperationEvent = Exclude<RepositoryEvent, WarningEvent>;

type Asked = BackupAsked | RestoreAsked | VerifyAsked | PruneAsked;

const EVENTS = { backup: true, restore: true, verify: true, prune: true, warning: true } as const;

/** Who listens to a repository. */
export class EventHub {
  /** The repository's own, whose warnings are events as well. */
  readonly logger: Logger;
  readonly #logger: Logger;
  readonly #repository: Ended["repository"];
  readonly #listeners = new Listeners<RepositoryEvents>(EVENTS);

  constructor(logger: Logger, repository: Ended["repository"]) {
    this.#logger = logger;
    this.#repository = repository;
    this.logger = {
      debug: (message, meta) => logger.debug(message, meta),
      info: (message, meta) => logger.info(message, meta),
      warn: (message, meta = {}) => {
        logger.warn(message, meta);
        this.#emit({ type: "warning", repository, at: new Date(), message, meta });
      },
      error: (message, meta) => logger.error(message, meta),
    };
  }

  /** @throws TypeError */
  on<N extends keyof RepositoryEvents>(
    name: N,
    listener: (event: RepositoryEvents[N]) => unknown,
  ): () => void {
    return this.#listeners.on(name, listener);
  }

  /** Runs an operation, and tells how it ended. */
  async during<T>(
    asked: Asked,
    options: { readonly signal?: AbortSignal | undefined; readonly dryRun?: boolean | undefined } | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const { signal, dryRun } = options ?? {};
    const [startedAt, started] = [new Date(), performance.now()];
    const end = (ended: Readonly<Record<string, unknown>>, span: WorkSpan) => {
      const durationMs = Math.round(performance.now() - started);
      const times = { repository: this.#repository, startedAt, endedAt: new Date(), durationMs };
      const event = { ...asked, ...times, ...ended } as OperationEvent;
      span.set(endShown(event));
      if (dryRun !== true) this.#emit(event);
    };
    const attributes = { ...askedShown(asked), repository: this.#repository.location, dry_run: dryRun };
    return withSpan(asked.type, { attributes, signal }, async (span) => {
      let result: T;
      try {
        result = await work();
      } catch (error) {
        end({ outcome: signal?.aborted ? "aborted" : "failure", error }, span);
        throw error;
      }
      end({ outcome: "success", result }, span);
      return result;
    });
  }

  /** What a listener throws is told by the log alone: as an event it would reach the same listener again. */
  #emit(event: RepositoryEvent): void {
    this.#listeners.tell(event.type, event, (thrown) => {
      const meta = { event: event.type, reason: stackOf(thrown) };
      this.#logger.warn("a listener of the repository failed", meta);
    });
  }
}

/** What a span says of what was asked for. */
function askedShown(asked: Asked): SpanAttributes {
  switch (asked.type) {
    case "backup":
      return { sources: asked.sources, kind: asked.kind };
    case "restore":
      return { snapshot: asked.snapshot, targets: asked.targets };
    case "verify":
      return { snapshot: asked.snapshot, restore_test: asked.restoreTest };
    case "prune":
      return {};
  }
}

/** What a span says of how it ended. */
function endShown(event: OperationEvent): SpanAttributes {
  const { outcome } = event;
  if (event.outcome !== "success") return { outcome };
  switch (event.type) {
    case "backup": {
      const { id: snapshot, files, bytes, newBytes: new_bytes } = event.result;
      return { outcome, snapshot, files, bytes, new_bytes };
    }
    case "restore": {
      const { snapshot, files, bytes } = event.result;
      return { outcome, snapshot, files, bytes };
    }
    case "verify":
      return { outcome, failed_checks: event.result.filter(({ ok }) => !ok).length };
    case "prune": {
      const { removed, freed } = event.result;
      return { outcome, removed_snapshots: removed.length, freed_bytes: freed.bytes };
    }
  }
}

/** A place as an event may show it: of an address without who signs in, and without its query. */
export function placeShown(place: unknown): string {
  if (typeof place === "object" && place !== null && "uri" in place) return String(place.uri);
  const address = /^([a-z][a-z0-9+.-]+:\/\/)(?:[^/?#]*@)?([^?#]*)/i.exec(withoutPassword(String(place)));
  return address ? `${address[1]}${address[2]}` : withoutPassword(String(place));
}
