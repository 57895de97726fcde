import { BackupStrategy } from "../../src/guard/backup-strategy.ts";

const nightly = process.env["NIGHTLY"] === "1";
const thorough = nightly || Boolean(process.env["CI"]);

/** All of them, in CI and at night; for who runs `npm test`, one of four. */
export function sampleOf<T>(all: readonly T[]): readonly T[] {
  return thorough ? all : all.filter((_, index) => index % 4 === 0);
}

/** All of them, with each strategy, at night; otherwise each with one of the strategies, turn about. */
export function inTurn<T>(all: readonly T[], strategy: BackupStrategy): readonly T[] {
  const strategies = Object.values(BackupStrategy);
  return nightly ? all : all.filter((_, index) => index % strategies.length === strategies.indexOf(strategy));
}
