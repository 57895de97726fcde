import { statSync } from "node:fs";
import { isRunLease } from "../engine/format/names.ts";
import { leaserOf } from "../engine/lease/leaser.ts";
import { BackupError } from "../errors.ts";
import { identifyDatabase } from "../lance/database-identity.ts";
import type { Logger } from "../logger.ts";
import { Repository } from "../repository/repository.ts";
import type { KeysOption } from "../repository/repository-options.ts";
import {
  fallShown,
  fallsAmong,
  type Snapshot,
  type SnapshotDetails,
} from "../sources/lancedb/snapshot-view.ts";
import type { StorageOptions } from "../storage/layers/layered.ts";
import { openStorage } from "../storage/open-storage.ts";
import { liesInFuture } from "../util/clock.ts";
import { counted } from "../util/format.ts";
import { diagnoseStrays } from "./diagnose-strays.ts";
import { diagnoseSpace } from "./file-system.ts";
import type { Finding } from "./finding.ts";
import { diagnoseOwners, diagnoseWritable } from "./permissions.ts";
import { commandLine, Remedies } from "./remedies.ts";

const STALE_DAYS = 7;
const DAY_MS = 86_400_000;

export interface RepositoryDiagnosis {
  readonly findings: readonly Finding[];
  /** The newest snapshot of the database. */
  readonly newest: SnapshotDetails | undefined;
}

/** A repository: its mark, its documents, who works in it, how old the newest snapshot is, and which disk it is on. */
export async function diagnoseRepository(
  {
    location,
    keys,
    storage: use = {},
  }: {
    readonly location: string;
    readonly keys: KeysOption | undefined;
    readonly storage?: StorageOptions | undefined;
  },
  database: string | undefined,
  signal?: AbortSignal,
): Promise<RepositoryDiagnosis> {
  const base = { check: "repository", about: location };
  const findings: Finding[] = [];
  let newest: SnapshotDetails | undefined;
  const logger = collectWarnings(findings, base);
  try {
    const repository = await Repository.open(location, { logger, ...use, keys });
    const storage = await openStorage(location, use);
    const directory = storage.local?.root;
    if (directory !== undefined) {
      findings.push(...diagnoseSpace(directory, "repository"), ...diagnoseWritable(directory));
      findings.push(...diagnoseOwners(directory, "repository", signal));
      findings.push(...diagnoseStrays(directory, "repository", signal));
    }
    const id = database === undefined ? undefined : identifyDatabase(database).id;
    const all = await repository.list();
    const snapshots = all.filter(({ source }) => id === undefined || source.id === id);
    findings.push(...diagnoseSnapshots(base, snapshots, database, hintOf(all, database)));
    const now = Date.now();
    const last = snapshots.find(({ createdAt }) => !liesInFuture(createdAt.getTime(), now)) ?? snapshots[0];
    if (database !== undefined && last) newest = await repository.get(last.id);
    for (const { alive, kind, holder } of await leaserOf(storage).list(signal)) {
      const work = isRunLease(kind) ? "A policy's run" : kind === "shared" ? "A backup" : "A prune";
      findings.push(
        alive
          ? { ...base, level: "note", details: `${work} is under way: ${holder}.` }
          : {
              ...base,
              level: "note",
              details: `${work} died: ${holder}.`,
              advice: "The next prune removes what it left.",
            },
      );
    }
    if (database && directory && statSync(directory).dev === statSync(database).dev) {
      findings.push({
        ...base,
        level: "warning",
        details: "It lies on the same file system as the database: if that disk is lost, so are both.",
        advice: "Keep a repository on another disk, or a copy of this one.",
      });
    }
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    findings.push({ ...base, level: "problem", details: error.message });
  }
  return { findings, newest };
}

/** A database that was restored or copied to where another one was is another one. */
function hintOf(all: readonly Snapshot[], database: string | undefined): string {
  const there = all.filter(({ source }) => source.uri === database);
  const [newest] = there;
  if (!newest) return "";
  return ` ${counted(there.length, "snapshot")} of another database, id ${newest.source.id}, were taken of what had this path on ${newest.source.host}. Only if it is the same database: backup --source-id ${newest.source.id} goes on from them.`;
}

function diagnoseSnapshots(
  base: Pick<Finding, "check" | "about">,
  mine: readonly Snapshot[],
  database: string | undefined,
  hint: string,
): Finding[] {
  const now = Date.now();
  const ahead = mine.filter(({ createdAt }) => liesInFuture(createdAt.getTime(), now));
  const newest = mine.find((snapshot) => !ahead.includes(snapshot));
  const of = database === undefined ? "" : ` of ${database}`;
  const future = ahead.map((snapshot) => fromFuture(base, snapshot));
  if (!newest && ahead.length > 0) return future;
  if (!newest) {
    const advice =
      database === undefined
        ? `Take one: ${commandLine("backup", "--help")} says how.`
        : new Remedies(database, base.about).backup();
    const details = `It has no snapshot${of}.${hint}`;
    return [{ ...base, level: "warning", details, advice }];
  }
  const days = Math.floor((Date.now() - newest.createdAt.getTime()) / DAY_MS);
  const isStale = days >= STALE_DAYS;
  const age = isStale ? `, ${days} days ago` : "";
  return [
    {
      ...base,
      level: isStale ? "warning" : "ok",
      details: `${counted(mine.length - ahead.length, "snapshot")}${of}; the newest was taken ${newest.createdAt.toISOString()}${age}.`,
      advice: isStale ? "Take one, and find out why none was taken." : undefined,
    },
    ...future,
    ...diagnoseFalls(
      base,
      mine.filter((snapshot) => !ahead.includes(snapshot)),
    ),
  ];
}

function diagnoseFalls(base: Pick<Finding, "check" | "about">, newestFirst: readonly Snapshot[]): Finding[] {
  return fallsAmong(newestFirst).map((fall) => ({
    ...base,
    level: "warning",
    details: `${fallShown(fall)}. The first of the two is kept, whatever the rules say.`,
    advice: `If the rows are missing by mistake: ${commandLine("restore", fall.before.id, "<directory>", "--table", fall.table, "--repo", base.about)}; if it was intended, ${commandLine("delete", fall.before.id, "--repo", base.about)}`,
  }));
}

/** A clock was wrong when it was taken, or is wrong now. */
function fromFuture(base: Pick<Finding, "check" | "about">, { id, source, createdAt }: Snapshot): Finding {
  return {
    ...base,
    level: "warning",
    details: `Snapshot ${id} of ${source.uri} has a time in the future, ${createdAt.toISOString()}: it is not taken for the newest, and no rule removes it before.`,
    advice: `Where this machine's clock is right, that of ${source.host} was wrong then; when the snapshot is not needed: ${commandLine("delete", id, "--repo", base.about)}`,
  };
}

function collectWarnings(findings: Finding[], base: Pick<Finding, "check" | "about">): Logger {
  const collect = (message: string, meta: Record<string, unknown> = {}) => {
    const details = [message, ...Object.values(meta).filter((value) => typeof value === "string")].join(": ");
    findings.push({
      ...base,
      level: "problem",
      details,
      advice: `${commandLine("verify", "--repo", base.about)} tells more.`,
    });
  };
  const ignore = () => undefined;
  return { debug: ignore, info: ignore, warn: collect, error: collect };
}
