import { BackupError, BackupNotFoundError, ValidationError } from "../../errors.ts";
import { isAway } from "../../fs/held-root.ts";
import type { Logger } from "../../logger.ts";
import { counted } from "../../util/format.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { OnProgress } from "../progress.ts";
import { blobsOfContent, type PartContent, type StoredContent } from "../snapshot.ts";
import { type BlobState, surveyBlobs } from "./blob-survey.ts";
import { checkIntegrity } from "./integrity.ts";
import { assertQuarantine, quarantine } from "./quarantine.ts";
import { checkRepository, surveySurroundings } from "./repository-check.ts";
import { failed, passed, type VerificationResult } from "./result.ts";
import { rollOn, tellAllRead } from "./rolling.ts";
import { settingsFrom, type VerifyOptions, type VerifySettings } from "./verify-options.ts";

/** Restores a snapshot somewhere and reads it; answers with a result a check of its own. */
type RestoreTest = (
  content: StoredContent,
  part: PartContent,
  options: {
    /** Which part of the rows is to be read, above 0 and up to 1. */
    sample: number;
    signal?: AbortSignal | undefined;
    onProgress?: OnProgress | undefined;
  },
) => Promise<readonly VerificationResult[]>;

/** Whether a snapshot has every file that its own files name. Given snapshots in the order of their times. */
interface CompletenessCheck {
  check(content: StoredContent, part: PartContent): Promise<VerificationResult | undefined>;
}

export interface VerifyContext {
  readonly blobs: BlobStore;
  readonly catalog: Pick<Catalog, "ids" | "list" | "content" | "resolve">;
  readonly completeness: (
    states: ReadonlyMap<string, BlobState>,
    signal: AbortSignal | undefined,
  ) => CompletenessCheck;
  readonly restoreTest?: RestoreTest | undefined;
  /** From 0 to below 1: chooses which blobs are read where not all are. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
  readonly logger: Logger;
  /** Milliseconds since 1970. Default: the system's. */
  readonly now?: (() => number) | undefined;
}

/**
 * Checks one snapshot, or without `id` all of them and the repository itself. A blob is read once, however many
 * snapshots name it. One result a part and check, in the order of the snapshots' times; damage is a result with
 * `ok: false`, never an exception. A snapshot whose document is damaged has the one result `document`. A snapshot that
 * is deleted meanwhile has none.
 *
 * @param id an id, a unique prefix, a name, or `latest`.
 * @throws ValidationError, TypeError for wrong options. @throws BackupNotFoundError for an unknown `id`.
 * @throws IoError where the snapshots cannot be listed. An abort rejects with the signal's reason.
 */
export async function verify(
  context: VerifyContext,
  id: string | undefined,
  options: VerifyOptions = {},
): Promise<VerificationResult[]> {
  const settings = settingsFrom(options);
  options.signal?.throwIfAborted();
  return new Verification(context, settings, options).run(id);
}

class Verification {
  readonly #context: VerifyContext;
  readonly #settings: VerifySettings;
  readonly #options: VerifyOptions;

  constructor(context: VerifyContext, settings: VerifySettings, options: VerifyOptions) {
    this.#context = context;
    this.#settings = settings;
    this.#options = options;
  }

  async run(reference: string | undefined): Promise<VerificationResult[]> {
    const { blobs: store, catalog, random = Math.random } = this.#context;
    const { storage } = store;
    const { signal, onProgress } = this.#options;
    if (this.#options.quarantine) assertQuarantine(storage);
    const { source } = this.#options;
    const all = reference === undefined && source === undefined;
    if (this.#settings.rollingDays !== undefined && reference !== undefined)
      throw new ValidationError("rollingDays is for the whole repository, and not for one snapshot.");
    const began = this.#now();
    const ids = all ? await catalog.ids(signal) : await this.#idsOf(reference, source);
    const blobs = new Set<string>();
    let only: StoredContent | undefined;
    for (const id of ids) {
      const read = await this.#addBlobs(id, blobs, reference === undefined);
      if (ids.length === 1) only = read;
    }
    const around = all ? await surveySurroundings(store, blobs, signal) : undefined;
    for (const sha256 of around?.unreferenced.keys() ?? []) blobs.add(sha256);
    const { integrity, rollingDays } = this.#settings;
    const fraction = integrity && rollingDays === undefined ? this.#settings.fraction : 0;
    const rolled = await this.#rollOn(blobs);
    const survey =
      rolled?.states ?? (await surveyBlobs({ store, blobs, fraction, random, signal, onProgress }));
    const states = new Map(survey);
    const completeness = this.#context.completeness(states, signal);
    const results: VerificationResult[] = [];
    for (const id of ids) {
      const content = only && areThere(only, states) ? only : await this.#content(id);
      if (content === undefined) continue;
      if ("check" in content) {
        results.push(content);
        continue;
      }
      await this.#surveyRest(content, states, fraction);
      for (const part of content.parts) {
        const of: VerificationResult[] = [];
        if (this.#settings.integrity) of.push(checkIntegrity(store, content, part, states));
        const whole = this.#settings.completeness ? await completeness.check(content, part) : undefined;
        if (whole) of.push(whole);
        if (part === content.parts[0]) of.push(...this.#checkSize(content));
        of.push(...(await this.#testRestore(content, part)));
        results.push(...of.map((result) => ({ ...result, source: part.source })));
      }
    }
    if (around) results.push(await checkRepository(storage, around, states));
    if (rolled) results.push(rolled.result);
    else if (all && fraction === 1) await tellAllRead({ store, logger: this.#context.logger }, states, began);
    if (this.#options.quarantine) results.push(...(await quarantine(store, states, signal)));
    return results;
  }

  #now(): number {
    return (this.#context.now ?? Date.now)();
  }

  async #rollOn(named: ReadonlySet<string>): Promise<Awaited<ReturnType<typeof rollOn>> | undefined> {
    const { rollingDays: days } = this.#settings;
    if (days === undefined) return undefined;
    const { blobs: store, logger } = this.#context;
    const { signal, onProgress } = this.#options;
    return rollOn({ store, logger, days, named, now: () => this.#now(), signal, onProgress });
  }

  /** A rotation of keys may have put a document that names other blobs in the place of the one that was read first. */
  async #surveyRest(content: StoredContent, states: Map<string, BlobState>, fraction: number): Promise<void> {
    const { blobs: store, random = Math.random } = this.#context;
    if (!store.documents.mayBeReplaced) return;
    const rest = new Set([...blobsOfContent(content).keys()].filter((name) => !states.has(name)));
    if (rest.size === 0) return;
    const { signal } = this.#options;
    for (const [name, state] of await surveyBlobs({ store, blobs: rest, fraction, random, signal })) {
      states.set(name, state);
    }
  }

  /** Of one database alone; damaged documents do not say of which they are. */
  async #idsOf(reference: string | undefined, source: string | undefined): Promise<string[]> {
    const { catalog } = this.#context;
    const { signal } = this.#options;
    if (reference !== undefined) return [await catalog.resolve(reference, { source, signal })];
    const ids = (await catalog.list({ source }, signal)).map(({ id }) => id).sort();
    if (ids.length > 0) return ids;
    throw new BackupNotFoundError("latest", `There is no snapshot of ${source} in the repository.`);
  }

  /** Answers with the document. One that cannot be read says so in the second reading. */
  async #addBlobs(id: string, blobs: Set<string>, mayBeGone: boolean): Promise<StoredContent | undefined> {
    const content = await this.#content(id);
    if (content === undefined && !mayBeGone) throw new BackupNotFoundError(id);
    if (content === undefined || "check" in content) return undefined;
    for (const name of blobsOfContent(content).keys()) blobs.add(name);
    return content;
  }

  /** A failed result where the document cannot be read; undefined where it is not there. */
  async #content(id: string): Promise<StoredContent | VerificationResult | undefined> {
    try {
      return await this.#context.catalog.content(id, this.#options.signal);
    } catch (error) {
      if (error instanceof BackupNotFoundError) return undefined;
      if (!(error instanceof BackupError) || isAway(error)) throw error;
      return { snapshot: id, check: "document", ok: false, details: error.message, error };
    }
  }

  #checkSize({ snapshot: { id, bytes } }: StoredContent): VerificationResult[] {
    const { minBytes } = this.#settings;
    if (minBytes === undefined) return [];
    const details = `${counted(bytes, "byte")}, and at least ${minBytes.toLocaleString("en")} are wanted`;
    if (bytes >= minBytes) return [passed(id, "minBytes", `${details}.`)];
    const path = this.#context.blobs.storage.location;
    return [failed(id, "minBytes", "The snapshot is too small", [{ what: details, path }])];
  }

  async #testRestore(content: StoredContent, part: PartContent): Promise<readonly VerificationResult[]> {
    const { restoreTest } = this.#context;
    if (!this.#settings.restoreTest || !restoreTest) return [];
    const { signal, onProgress } = this.#options;
    try {
      return await restoreTest(content, part, { sample: this.#settings.fraction || 1, signal, onProgress });
    } catch (error) {
      if (!(error instanceof BackupError) || isAway(error)) throw error;
      return [{ snapshot: content.snapshot.id, check: "restore", ok: false, details: error.message, error }];
    }
  }
}

/** Whether no blob of a snapshot has gone: where one has, the snapshot may be deleted by now, or a rotation of keys has replaced it. */
function areThere(content: StoredContent, states: ReadonlyMap<string, BlobState>): boolean {
  return [...blobsOfContent(content).keys()].every((name) => states.get(name)?.size !== undefined);
}
