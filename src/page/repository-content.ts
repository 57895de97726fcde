import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { BackupService } from "../policy/backup-service.ts";
import type { PolicySettings } from "../policy/policy-set.ts";
import type { AuditEntry, Repository, Snapshot } from "../repository/index.ts";
import type { Clock } from "../util/clock.ts";

/** What a repository has, as far as the page shows it. */
export interface Content {
  readonly snapshots: readonly Snapshot[];
  readonly entries: readonly AuditEntry[];
}

/** So many entries are looked at: each is a request to a store, and a small file in a local directory. */
const MOST_ENTRIES = 300;
const MOST_LOCAL_ENTRIES = 2000;
/** What is asked for where most is known. */
const FEW_ENTRIES = 20;
/** What is shown, or tells of what is. */
const OPERATIONS = new Set(["backup", "verify", "prune", "restore"]);

/** The newest entries of a repository's audit log, read once each. */
export class NewestEntries {
  /** The newest first. */
  #entries: readonly AuditEntry[] = [];
  /** The highest number that was read. */
  #known = 0;
  #reading: Promise<unknown> = Promise.resolve();

  /** One behind the other: each begins where the one before it ended. */
  read(repository: Repository): Promise<readonly AuditEntry[]> {
    const reading = this.#reading.then(() => this.#read(repository));
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  async #read(repository: Repository): Promise<readonly AuditEntry[]> {
    const most = repository.location.includes("://") ? MOST_ENTRIES : MOST_LOCAL_ENTRIES;
    const known = this.#known;
    const fresh = await repository.audit({ limit: known === 0 ? most : FEW_ENTRIES });
    const isJoined = known === 0 || (fresh.at(-1)?.number ?? 0) <= known + 1;
    const all = isJoined ? fresh : await repository.audit({ limit: most });
    const newer = all.filter(({ number, operation }) => number > known && OPERATIONS.has(operation));
    this.#known = Math.max(known, all[0]?.number ?? 0);
    this.#entries = [...newer, ...this.#entries].slice(0, most);
    return this.#entries;
  }
}

/** A listing is asked for again after so long, or when a run has ended. */
const FRESH_MS = 15_000;

interface Listed {
  readonly at: number;
  readonly content: Promise<Content>;
}

/** What the repositories of a service's policies have. */
export class RepositoryContents {
  readonly #service: BackupService;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** By the repository's location. */
  readonly #listed = new Map<string, Listed>();
  readonly #newest = new Map<string, NewestEntries>();

  constructor(service: BackupService, logger: Logger, clock: Clock) {
    this.#service = service;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Something was done: what is asked for next is listed anew. */
  forget(): void {
    this.#listed.clear();
  }

  /** Of each repository once. */
  all(): Promise<Content[]> {
    const places = new Map(
      [...this.#service.policies].map(({ settings }) => [settings.storage.location, settings]),
    );
    return Promise.all([...places.values()].map((settings) => this.of(settings)));
  }

  /** Nothing where there is no repository yet, or it cannot be read: the policy's state says so. */
  of(settings: PolicySettings): Promise<Content> {
    const { location } = settings.storage;
    const now = this.#clock.monotonic();
    const listed = this.#listed.get(location);
    if (listed && now - listed.at < FRESH_MS) return listed.content;
    const content = this.#read(settings).catch((error: unknown): Content => {
      this.#logger.debug("the page cannot list a repository", { location, reason: reasonOf(error) });
      return { snapshots: [], entries: [] };
    });
    this.#listed.set(location, { at: now, content });
    return content;
  }

  async #read({ name, storage: { location } }: PolicySettings): Promise<Content> {
    const repository = await this.#service.repository(name);
    const newest = this.#newest.get(location) ?? new NewestEntries();
    this.#newest.set(location, newest);
    const [snapshots, entries] = await Promise.all([this.#service.snapshots(name), newest.read(repository)]);
    return { snapshots, entries };
  }
}
