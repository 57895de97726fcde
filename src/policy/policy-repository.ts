import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { REPOSITORY } from "../engine/format/names.ts";
import { ValidationError } from "../errors.ts";
import { advice } from "../hint.ts";
import type { Logger } from "../logger.ts";
import {
  openStorage,
  Repository,
  type Snapshot,
  type Storage,
  type StorageOptions,
  type StorageRequest,
} from "../repository/index.ts";
import { keysOf } from "./policy-keys.ts";
import type { PolicySettings } from "./policy-set.ts";
import { Histories } from "./policy-status.ts";

type Kept = Pick<PolicySettings, "storage" | "compression" | "encryption" | "audit">;

interface OpenOptions {
  readonly create?: boolean;
  readonly onRequest?: StorageOptions["onRequest"];
  /** Who does what is done, for the audit log. */
  readonly actor?: string | undefined;
}

/**
 * The repository of a policy. One that is not there is made, if `create` is asked for and the policy does not forbid it.
 *
 * @throws ValidationError where there is none; the errors of `Repository.open` and `init`.
 */
export async function openPolicyRepository(
  { storage: { location, create: isAllowed }, compression, encryption, audit }: Kept,
  logger: Logger,
  { create = false, onRequest, actor }: OpenOptions = {},
): Promise<Repository> {
  const storage = await openStorage(location, { onRequest });
  const keys = encryption && keysOf(encryption);
  if (!create || isAllowed === false || (await storage.stat(REPOSITORY)) || (await hasSnapshots(storage))) {
    return Repository.open(storage, { logger, audit, actor, ...(keys && { keys: keys.toOpen }) });
  }
  assertMayBeMade(storage, isAllowed);
  logger.warn("there was no repository; a new one is made", { location: storage.location });
  return Repository.init(storage, {
    logger,
    audit,
    actor,
    compression,
    ...(keys && { encryption: { keys: keys.toMake } }),
  });
}

/** Who hears of what is done with repositories: metrics. */
export interface RepositoryWatch {
  readonly request: (request: StorageRequest) => void;
  /** One was opened. */
  watch(repository: Repository, location: string): void;
  /** It was looked what one has. */
  learn(histories: Histories, location: string): void;
}

/** The repositories of policies: each is opened when it is needed, and then kept. */
export class OpenRepositories {
  readonly #logger: Logger;
  readonly #watch: RepositoryWatch;
  readonly #opened = new Map<
    string,
    { readonly create: boolean; readonly repository: Promise<Repository> }
  >();

  /** Listings that are under way: who asks meanwhile has the same, unless something was made or removed since it began. */
  readonly #listing = new Map<Repository, Promise<readonly Snapshot[]>>();

  constructor(logger: Logger, watch: RepositoryWatch) {
    this.#logger = logger;
    this.#watch = watch;
  }

  /** @throws as `openPolicyRepository` */
  open(
    settings: PolicySettings,
    { create = false, actor }: Pick<OpenOptions, "create" | "actor"> = {},
  ): Promise<Repository> {
    const key = JSON.stringify([settings.storage, settings.encryption, settings.audit, actor]);
    const opened = this.#opened.get(key);
    if (opened && (opened.create || !create)) return opened.repository;
    const open = () => this.#open(settings, { create, actor });
    // Who only looks, and finds none, keeps nobody from making it.
    const repository = opened ? opened.repository.catch(open) : open();
    const opening = { create, repository };
    this.#opened.set(key, opening);
    repository.catch(() => {
      if (this.#opened.get(key) === opening) this.#opened.delete(key);
    });
    return repository;
  }

  /**
   * What the policy's repository has of every policy.
   *
   * @param options.anew by a listing that begins now: what another process has made just now is in it.
   */
  async histories(settings: PolicySettings, { anew = false } = {}): Promise<Histories> {
    if (anew) this.#listing.delete(await this.open(settings));
    const histories = new Histories(await this.snapshots(settings));
    this.#watch.learn(histories, settings.storage.location);
    return histories;
  }

  /** The snapshots in the policy's repository, of all policies. To read ten thousand takes a second of a processor. */
  async snapshots(settings: PolicySettings): Promise<readonly Snapshot[]> {
    const repository = await this.open(settings);
    const known = this.#listing.get(repository);
    if (known) return known;
    const listing = repository.list().finally(() => {
      if (this.#listing.get(repository) === listing) this.#listing.delete(repository);
    });
    this.#listing.set(repository, listing);
    return listing;
  }

  async #open(settings: PolicySettings, how: OpenOptions): Promise<Repository> {
    const options = { ...how, onRequest: this.#watch.request };
    const repository = await openPolicyRepository(settings, this.#logger, options);
    this.#watch.watch(repository, settings.storage.location);
    for (const event of ["backup", "prune"] as const) repository.on(event, () => this.#listing.clear());
    return repository;
  }
}

async function hasSnapshots(storage: Storage): Promise<boolean> {
  for await (const _ of storage.list("snapshots/")) return true;
  return false;
}

/**
 * Where a disk is not mounted, there is an empty directory. A repository that was made in it would pass for the one on the
 * disk.
 *
 * @param isAllowed what the policy says of it.
 * @throws ValidationError
 */
export function assertMayBeMade({ local, location }: Storage, isAllowed: boolean | undefined): void {
  const how = advice`A new one is made by ${{ call: "init", repository: location }}, or with create: true in its storage section.`;
  if (isAllowed === false) throw new ValidationError(advice`There is no repository at ${location}. ${how}`);
  if (isAllowed === true || !local) return;
  const directory = local.root;
  const nearest = existsSync(directory) ? directory : dirname(directory);
  if (!existsSync(nearest) || readdirSync(nearest).length > 0) return;
  throw new ValidationError(
    advice`There is no repository at ${location}, and ${nearest} is empty: is its disk mounted? ${how}`,
  );
}
