import type { Command } from "commander";
import type { Logger } from "../../logger.ts";
import type { ScrubReport } from "../../repository/index.ts";
import { counted, formatBytes } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import {
  type ConfirmOptions,
  confirmOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
  sourceOption,
} from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import type { Terminal } from "../output/terminal.ts";
import { displayOf } from "../progress-display.ts";

interface Options extends RepositoryOption, SourceOption, ConfirmOptions {
  readonly heal?: boolean;
  readonly snapshot?: string;
}

export function scrubCommand(): Command {
  const command = newCommand("scrub", {
    summary: "Find bit rot in a live database, and heal it.",
    description:
      "Compares the files of a live database with their digests in a snapshot. LanceDB itself does not notice flipped bits. --heal replaces damaged files with those of the snapshot, after asking, and keeps the damaged ones below <database>/.lancedb-backup/aside. Of files newer than the snapshot only the size is checked. Exit code 3 if damage is left, 0 if there was none or all of it was healed.",
    examples: ["scrub data/lancedb-table --repo ./vault", "scrub data/lancedb-table --heal"],
    json: `{ snapshot, source: { type, id, uri, host }, tables, missingTables, newTables, files, bytes, newFiles, damage: [{ table, path, file, kind, problem:
"missing", "size" or "content", details, sha256?, size?, bytes?: { first, last, count }, version?, index?, columns?,
rows?: [{ fragment, first, last }], mended, refused?, aside? }] }`,
  })
    .argument("<database>", "The database's directory.")
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option("--snapshot <id>", "The snapshot to compare with. Default: the newest of this database.")
    .option("--heal", "Heal what the snapshot can heal.");
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, database: string, options: Options): Promise<Answer> {
  const { heal = false, yes, dryRun, snapshot } = options;
  await using repository = await openRepository(
    { ...context, logger: withoutDamage(context.logger) },
    options,
  );
  const scrub = async (heals: boolean) => {
    context.interrupt.describe(
      heals
        ? "Healed files stay healed; run scrub again for the rest."
        : "Not everything was compared; nothing was changed.",
    );
    const progress = await displayOf(context);
    return repository
      .scrub(database, {
        heal: heals,
        snapshot,
        source: sourceFrom(options),
        signal: context.signal,
        onProgress: progress.onProgress,
      })
      .finally(progress.end);
  };
  let report = await scrub(heal && (yes ?? false) && !dryRun);
  const canHeal = report.damage.some(({ mended, refused }) => !mended && refused === undefined);
  if (heal && !yes && !dryRun && canHeal) {
    await confirm(context, yes, describe(context.terminal, report), "Heal it?");
    report = await scrub(true);
  }
  return {
    json: report,
    text: describe(context.terminal, report),
    exitCode: report.damage.some(({ mended }) => !mended) ? EXIT.damage : EXIT.done,
  };
}

/** Each damage is in the answer, with what to do: it need not be told as a warning too. */
function withoutDamage(logger: Logger): Logger {
  const isDamage = /^(a damaged file was healed|a file is damaged)$/;
  return {
    ...logger,
    warn: (message, meta) =>
      isDamage.test(message) ? logger.debug(message, meta) : logger.warn(message, meta),
  };
}

function describe(terminal: Terminal, report: ScrubReport): string {
  const { snapshot, source, tables, missingTables, newTables, files, bytes, newFiles, damage } = report;
  const parts = damage.map(({ details, mended, refused, aside }) => {
    const mark = mended ? terminal.style("yellow", "HEALED") : terminal.style("red", "DAMAGE");
    const next = mended
      ? aside === undefined
        ? "the file was missing, and is there again"
        : `the damaged file is kept at ${aside}`
      : refused === undefined
        ? "--heal puts the snapshot's file in its place"
        : `not healed: ${refused}`;
    return `${mark}  ${printable(details)}\n        -> ${printable(next)}`;
  });
  if (damage.length > 0) parts.push("");
  parts.push(
    `Compared with snapshot ${snapshot} of ${printable(source.uri)}: ${counted(tables.length, "table")}, ${counted(files, "file")}, ${formatBytes(bytes)}; ${counted(newFiles, "file")} newer than it.`,
  );
  if (missingTables.length > 0) parts.push(`Not in the database: ${printable(missingTables.join(", "))}.`);
  if (newTables.length > 0) parts.push(`Not in the snapshot: ${printable(newTables.join(", "))}.`);
  const mended = damage.filter((each) => each.mended).length;
  parts.push(
    damage.length === 0
      ? terminal.style("green", "No damage.")
      : terminal.style(
          mended === damage.length ? "yellow" : "red",
          `${counted(damage.length, "damaged file")}, ${mended === damage.length ? "all" : mended} healed.`,
        ),
  );
  return parts.join("\n");
}
