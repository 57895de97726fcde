import { BackupError, isNotFound } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { AUDIT } from "../format/names.ts";
import { gatherSmall, MOST_BYTES } from "../read-small.ts";
import { AUDIT_HEAD, type AuditEntry, type AuditPoint, parseEntryName } from "./audit-entry.ts";
import {
  type AuditPlace,
  auditNames,
  entriesOf,
  entryNumbers,
  isUnreadable,
  readEntry,
  readHead,
} from "./audit-log.ts";

/** What is wrong with an audit log. */
export interface AuditProblem {
  /**
   * `missing`: an entry that was there is not. `changed`: one is damaged, or is not what the next one or the head says that it was.
   * `forked`: there are two that say they are the same one, or there is one of a number that a retention had removed before.
   */
  readonly kind: "missing" | "changed" | "forked";
  /** The first entry that it is about. */
  readonly number: number;
  /** In words. */
  readonly details: string;
}

export interface AuditReport {
  readonly ok: boolean;
  /** How many entries there are. */
  readonly entries: number;
  /** The highest that a retention has removed; 0: none. */
  readonly forgottenThrough: number;
  /** The newest entry. Kept elsewhere it shows later that nothing was put back: see `expect`. Undefined where there is none. */
  readonly newest: AuditPoint | undefined;
  readonly problems: readonly AuditProblem[];
}

export interface VerifyAuditOptions {
  /** An entry that must still be there, such as the newest one of an earlier look that was kept elsewhere. */
  readonly expect?: AuditPoint | undefined;
  readonly signal?: AbortSignal | undefined;
}

const PARALLEL_READS = 16;

/** Checks the whole log, as docs/formats.md says. */
export async function verifyAuditLog(
  place: AuditPlace,
  { expect, signal }: VerifyAuditOptions = {},
): Promise<AuditReport> {
  const report = await look(place, expect, signal);
  // A retention may have removed entries between the listing and the reading.
  return report.ok ? report : look(place, expect, signal);
}

async function look(
  place: AuditPlace,
  expect: AuditPoint | undefined,
  signal: AbortSignal | undefined,
): Promise<AuditReport> {
  const problems: AuditProblem[] = [];
  const head = await headOf(place, problems, signal); // before the listing: entries may be written meanwhile
  const numbers = await entryNumbers(place.storage, signal);
  const read = await readAll(place, numbers, problems, signal);
  const forget = lastForget(read);
  const highest = Math.max(numbers.at(-1) ?? 0, forget.number);
  const all = [
    ...problems,
    ...chainProblems(numbers, read, forget),
    ...(await copies(place, read, signal)),
    ...(head ? heldTo(head, "the log's head", read, highest, forget) : []),
    ...(expect ? heldTo(expect, "what was expected", read, highest, forget) : []),
  ];
  const last = read.get(numbers.at(-1) ?? 0);
  return {
    ok: all.length === 0,
    entries: numbers.length,
    forgottenThrough: forget.number,
    newest: last && { number: last.number, sha256: last.sha256 },
    problems: all.sort((a, b) => a.number - b.number),
  };
}

async function headOf(
  place: AuditPlace,
  problems: AuditProblem[],
  signal: AbortSignal | undefined,
): Promise<AuditPoint | undefined> {
  try {
    return await readHead(place, signal);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    problems.push({
      kind: "changed",
      number: 0,
      details: `${AUDIT_HEAD} cannot be read: ${reasonOf(error)}`,
    });
    return undefined;
  }
}

async function readAll(
  place: AuditPlace,
  numbers: readonly number[],
  problems: AuditProblem[],
  signal: AbortSignal | undefined,
): Promise<Map<number, AuditEntry>> {
  const read = new Map<number, AuditEntry>();
  await forEachParallel(numbers, PARALLEL_READS, async (number) => {
    signal?.throwIfAborted();
    try {
      const entry = await readEntry(place, number, signal);
      if (entry.number === number) read.set(number, entry);
      else problems.push(changed(number, `entry ${number} is that of number ${entry.number}`));
    } catch (error) {
      if (isNotFound(error)) problems.push(missing(number, number));
      else if (isUnreadable(error))
        problems.push(changed(number, `entry ${number} cannot be read: ${reasonOf(error)}`));
      else throw error;
    }
  });
  return read;
}

/** What the newest entry of a retention says is gone. */
interface Forgotten {
  /** 0: nothing. */
  readonly number: number;
  readonly sha256: string | null;
  /** By which entry, and when. */
  readonly by: number;
  readonly at: Date;
}

function lastForget(read: ReadonlyMap<number, AuditEntry>): Forgotten {
  let last: Forgotten = { number: 0, sha256: null, by: 0, at: new Date(0) };
  for (const { number, operation, details, at } of read.values()) {
    const { through, sha256 } = details;
    if (operation !== "forget" || typeof through !== "number" || typeof sha256 !== "string") continue;
    if (through > last.number) last = { number: through, sha256, by: number, at };
  }
  return last;
}

function chainProblems(
  numbers: readonly number[],
  read: ReadonlyMap<number, AuditEntry>,
  forget: Forgotten,
): AuditProblem[] {
  const problems: AuditProblem[] = [];
  const digests = new Map([...read.values()].map(({ sha256, number }) => [sha256, number]));
  /** The digest that the next one must name; undefined: it is not known. */
  let before: string | null | undefined = forget.sha256;
  let next = forget.number + 1;
  for (const number of numbers) {
    if (number <= forget.number) {
      const left = read.get(number);
      if (left && left.at >= forget.at) problems.push(again(number, forget));
      continue;
    }
    if (number > next) {
      problems.push(missing(next, number - 1));
      before = undefined;
    }
    next = number + 1;
    const entry = read.get(number);
    if (entry && before !== undefined && entry.previous !== before) {
      const other = entry.previous === null ? undefined : digests.get(entry.previous);
      const names = other === undefined ? "another one" : `entry ${other}`;
      const kind = other === undefined ? "changed" : "forked";
      const what =
        number === 1
          ? "is not the first: it names one"
          : `does not follow entry ${number - 1} as it is: it names ${names}`;
      problems.push({ kind, number, details: `entry ${number} ${what}` });
    }
    before = entry?.sha256;
  }
  const forgotten = read.get(forget.number);
  if (forgotten && forgotten.sha256 !== forget.sha256)
    problems.push(changed(forget.number, `entry ${forget.number} is not the one that was to be removed`));
  return problems;
}

function heldTo(
  point: AuditPoint,
  who: string,
  read: ReadonlyMap<number, AuditEntry>,
  highest: number,
  forget: Forgotten,
): AuditProblem[] {
  const { number, sha256 } = point;
  if (number > highest) return [missing(highest + 1, number, ` (${who} names entry ${number})`)];
  const there = read.get(number)?.sha256 ?? (number === forget.number ? forget.sha256 : undefined);
  if (there === undefined || there === sha256) return [];
  return [changed(number, `entry ${number} is not the one that ${who} names`)];
}

const COPY = /^audit\/(\d{10})\D/;

/** Other objects that say they are entries: what a synchronising program kept of two that were written apart. */
async function copies(
  place: AuditPlace,
  read: ReadonlyMap<number, AuditEntry>,
  signal: AbortSignal | undefined,
): Promise<AuditProblem[]> {
  const { storage } = place;
  const names = new Set<string>();
  for await (const name of auditNames(storage, signal)) names.add(name);
  for await (const { name, kind } of storage.local?.strays(AUDIT, { deep: false }) ?? [])
    if (kind === "file") names.add(name);
  const problems: AuditProblem[] = [];
  for (const name of names) {
    const number = Number(COPY.exec(name)?.[1]);
    if (parseEntryName(name) !== undefined || !(number > 0)) continue;
    const at = `${storage.location}/${name}`;
    try {
      const pieces = storage.local ? storage.local.readStray(name) : storage.read(name, { signal });
      const entry = await entriesOf(place).open(await gatherSmall(pieces, at, MOST_BYTES), number, at);
      if (entry.sha256 === read.get(number)?.sha256) continue;
      problems.push({
        kind: "forked",
        number,
        details: `${at} says that it is entry ${number}, too: ${entry.operation} by ${entry.actor.user} on ${entry.actor.host}`,
      });
    } catch (error) {
      if (!(error instanceof BackupError)) throw error; // what is no entry under such a name is nobody's
    }
  }
  return problems;
}

function missing(first: number, last: number, why = ""): AuditProblem {
  const which = first === last ? `entry ${first} is` : `entries ${first} to ${last} are`;
  return { kind: "missing", number: first, details: `${which} missing${why}` };
}

function again(number: number, { number: through, by }: Forgotten): AuditProblem {
  const details = `entry ${number} is not older than entry ${by}, which says that entries up to ${through} were removed: it is a second one of its number`;
  return { kind: "forked", number, details };
}

function changed(number: number, details: string): AuditProblem {
  return { kind: "changed", number, details };
}
