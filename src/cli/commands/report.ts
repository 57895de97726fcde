import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { RetentionPolicy } from "../../repository/index.ts";
import { counted } from "../../util/format.ts";
import {
  type LimitOptions,
  limitOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { handle } from "../handle.ts";
import { namedRepository, openRepository, storageOptions } from "../open-repository.ts";
import { displayOf } from "../progress-display.ts";
import { addRetentionOptions, policyInWords, policyOf, type RetentionOptions } from "../retention-options.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, LimitOptions, RetentionOptions {
  readonly html: string;
  readonly force?: boolean;
  readonly readAll?: boolean;
}

/** Shown where no rule is given. */
const EXAMPLE_POLICY: RetentionPolicy = { keepDaily: 7, keepWeekly: 4, keepMonthly: 12 };

export function reportCommand(): Command {
  const command = newCommand("report", {
    summary: "Write an HTML report about a repository.",
    description:
      "Writes one HTML file that needs no network: a timeline of snapshots, their sizes and new bytes, savings by deduplication, rows of each table by version, what retention rules would remove, and the result of a verification that runs now. Changes nothing in the repository. Exit code 3 if damage is found; the report is written all the same.",
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
        "Where to write the report. An earlier report of that name is replaced.",
      ).makeOptionMandatory(),
    )
    .option("--force", "Replace a file that is not a report.")
    .option("--read-all", "Verify every byte. Default: names and sizes only.");
  for (const option of limitOptions()) command.addOption(option);
  return addRetentionOptions(command).action(handle(run));
}

async function run(context: Context, path: string | undefined, options: Options): Promise<Answer> {
  const given = policyOf(options);
  const rules = policyInWords(given);
  const policy = rules === "" ? EXAMPLE_POLICY : given;
  if (options.html === "-") throw new UsageError("--html needs a file's name; - is none.");
  const file = resolve(options.html);
  const repo = namedRepository(context, path, options);
  await using repository = await openRepository(context, { ...options, repo });
  const { openStorage } = await import("../../repository/index.ts");
  const storage = await openStorage(repo, storageOptions(repo, context, options));
  const directory = storage.local?.root;
  const { assertReplaceable, replaceFile } = await import("../report/page-file.ts");
  await assertReplaceable(file, directory, options.force ?? false);
  context.interrupt.describe("No page was written.");
  const { collect } = await import("../report/collect.ts");
  const { reportPage } = await import("../report/report-page.ts");
  const progress = await displayOf(context);
  const data = await collect(repository, {
    policy,
    rules: policyInWords(policy),
    readAll: options.readAll ?? false,
    storage,
    signal: context.signal,
    onProgress: progress.onProgress,
  }).finally(progress.end);
  const page = reportPage(data);
  await assertReplaceable(file, directory, options.force ?? false); // there has been time to make it
  await replaceFile(file, page);
  const { results } = data.verification;
  const damaged = results.filter(({ ok }) => !ok).length;
  const found = damaged > 0 ? ` ${damaged} of ${counted(results.length, "check")} found damage.` : "";
  return {
    json: { file, snapshots: data.snapshots.length, checks: results.length, damaged },
    text: `Wrote ${file}: ${counted(data.snapshots.length, "snapshot")}.${found}`,
    exitCode: damaged > 0 ? EXIT.damage : EXIT.done,
  };
}
