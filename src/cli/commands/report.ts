import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type Command, Option } from "commander";
import type { RetentionPolicy } from "../../repository/index.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { UsageError } from "../failure.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { counted } from "../output/format.ts";
import { displayOf } from "../progress-display.ts";
import { addRetentionOptions, policyInWords, policyOf, type RetentionOptions } from "../retention-options.ts";

interface Options extends RepositoryOption, RetentionOptions {
  readonly html: string;
  readonly readAll?: boolean;
}

/** Shown where no rule is given. */
const EXAMPLE_POLICY: RetentionPolicy = { keepDaily: 7, keepWeekly: 4, keepMonthly: 12 };

export function reportCommand(): Command {
  const command = newCommand("report", {
    summary: "Write a page about a repository.",
    description:
      "Writes one HTML file that needs no network: the timeline of the snapshots, their sizes and new bytes, what deduplication saves, the rows of each table over its versions, what retention rules would do, and a verification that is made now. Changes nothing in the repository. The page is written also where damage is found; then exit code 3.",
    examples: [
      "report ./vault --html report.html",
      "report ./vault --html report.html --keep-last 10 --read-all",
    ],
    json: "{ file, snapshots, checks, damaged }: where the page is, and how many there are",
  })
    .argument("[repository]", "The repository's directory; or --repo.")
    .addOption(repositoryOption())
    .addOption(
      new Option(
        "--html <file>",
        "Where to write the page; a file of this name is replaced.",
      ).makeOptionMandatory(),
    )
    .option("--read-all", "Verify every byte; without, names and sizes alone.");
  return addRetentionOptions(command).action(handle(run));
}

async function run(context: Context, path: string | undefined, options: Options): Promise<Answer> {
  const given = policyOf(options);
  const rules = policyInWords(given);
  const policy = rules === "" ? EXAMPLE_POLICY : given;
  const file = resolve(options.html);
  const location = path ?? options.repo;
  await using repository = await openRepository(context, {
    ...(location !== undefined && { repo: location }),
  });
  context.interrupt.describe("No page was written.");
  const { collect } = await import("../report/collect.ts");
  const { reportPage } = await import("../report/page.ts");
  const progress = await displayOf(context);
  const data = await collect(repository, {
    policy,
    rules: policyInWords(policy),
    readAll: options.readAll ?? false,
    signal: context.signal,
    onProgress: progress.onProgress,
  }).finally(progress.end);
  await replaceFile(file, reportPage(data));
  const { results } = data.verification;
  const damaged = results.filter(({ ok }) => !ok).length;
  const found = damaged > 0 ? ` ${damaged} of ${counted(results.length, "check")} found damage.` : "";
  return {
    json: { file, snapshots: data.snapshots.length, checks: results.length, damaged },
    text: `Wrote ${file}: ${counted(data.snapshots.length, "snapshot")}.${found}`,
    exitCode: damaged > 0 ? EXIT.damage : EXIT.done,
  };
}

/** Whole, or as it was. */
async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomUUID()}.tmp`);
  try {
    await writeFile(temporary, content, { flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`The page cannot be written to ${file}: ${reason}`);
  }
}
