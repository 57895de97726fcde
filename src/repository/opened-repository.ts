import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { Catalog } from "../engine/catalog/catalog.ts";
import type { KeyRing } from "../engine/keys/key-ring.ts";
import { blobStoreOf } from "../engine/keys/ring-encryption.ts";
import { assertMarked, assertStill, type RepositoryMarker } from "../engine/marker.ts";
import { holding } from "../fs/held-root.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { LanceCatalog } from "../sources/lancedb/lance-catalog.ts";
import type { Storage } from "../storage/storage.ts";
import { type Audited, AuditTrail } from "./audit-trail.ts";
import type { IdentifiedPlace } from "./copy-between.ts";
import { EventHub } from "./events.ts";
import type { Place } from "./repository-options.ts";
import { snapshotCache } from "./snapshot-cache.ts";

/** A repository that was opened, as its operations see it. */
export class OpenedRepository {
  readonly storage: Storage;
  /** Its warnings are events as well. */
  readonly logger: Logger;
  readonly lancedb: LanceDB;
  readonly marker: RepositoryMarker | undefined;
  readonly catalog: LanceCatalog;
  /** What is to be verified is read from where it is. */
  readonly uncached: Catalog;
  readonly blobs: BlobStore;
  readonly ring: KeyRing | undefined;
  readonly events: EventHub;
  /** What is done is recorded there. */
  readonly trail: AuditTrail;

  private constructor(place: Place, marker: RepositoryMarker | undefined, ring: KeyRing | undefined) {
    this.storage = place.storage;
    this.events = new EventHub(place.logger, { id: marker?.id, location: place.storage.location });
    this.logger = this.events.logger;
    this.lancedb = place.lancedb;
    this.marker = marker;
    this.ring = ring;
    this.blobs = blobStoreOf(place.storage, marker, ring);
    const heard = { ...place, logger: this.logger, documents: this.blobs.documents };
    this.uncached = new LanceCatalog({ ...heard, cache: undefined }).stored;
    this.catalog = new LanceCatalog({ ...heard, cache: snapshotCache(place, marker?.id, ring) });
    const inPlace = <T>(task: () => Promise<T>) => {
      this.assertMarked();
      return this.inPlace(task, { writes: true, renews: true });
    };
    const { storage, logger, blobs } = this;
    this.trail = new AuditTrail({ storage, logger, blobs, mode: place.audit, actor: place.actor, inPlace });
  }

  static of(place: Place, marker: RepositoryMarker | undefined, ring: KeyRing | undefined): OpenedRepository {
    return new OpenedRepository(place, marker, ring);
  }

  /** @throws CorruptError for a repository without its mark, which is not to be written to. @throws IoError for one that was opened for reading. */
  assertMarked(): void {
    assertMarked(this.storage, this.marker);
  }

  /** Runs an operation, records it, and tells who listens how it ended. */
  during<T>(
    asked: Parameters<EventHub["during"]>[0],
    audited: Audited<T>,
    options: Parameters<EventHub["during"]>[1],
    work: () => Promise<T>,
  ): Promise<T> {
    return this.events.during(asked, options, () => this.trail.during(audited, options, work));
  }

  identified(): IdentifiedPlace {
    const { location } = this.storage;
    return { id: this.marker?.id, location, blobs: this.blobs, catalog: this.catalog.stored };
  }

  /**
   * Runs an operation while the repository's directory is in its place. What lies there at the beginning must be the
   * repository that was opened: where a disk was unmounted, an empty directory has the name. Elsewhere it is looked at before
   * anything is written: another repository may have another codec.
   *
   * @param looks whether it is looked at also where nothing but a lease is written.
   * @param renews whether the task itself looks at the keys before it writes (`BlobStore.renewed`): then those of a repository elsewhere
   * are not looked at here.
   */
  async inPlace<T>(
    task: () => Promise<T>,
    { writes = false, looks = false, renews = false } = {},
  ): Promise<T> {
    const { local } = this.storage;
    const begin = async () => {
      if (writes || looks || local) await assertStill(this.storage, this.marker, { writes });
      if (!renews || local) await this.ring?.refresh(); // others may have rotated the keys
      return task();
    };
    return local ? holding([{ path: local.root, what: "repository" }], begin) : begin();
  }
}
