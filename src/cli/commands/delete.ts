import type { Command } from "commander";
import { UnsupportedError } from "../../errors.ts";
import type { Repository, SnapshotDetails } from "../../repository/index.ts";
import { counted, formatBytes, formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import {
  A_SNAPSHOT,
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
import { damagedSnapshot } from "../damaged-document.ts";
import { handle } from "../handle.ts";
import { openRepository, repositoryPath } from "../open-repository.ts";
import { commandLine } from "../output/command-line.ts";
import { UsageError } from "../usage-error.ts";

interface Options extends RepositoryOption, SourceOption, ConfirmOptions {}

export function deleteCommand(): Command {
  const command = newCommand("delete", {
    summary: "Delete a snapshot.",
    description:
      "Deletes a snapshot. Asks first. The space comes back with the next prune, unless other snapshots need the same blobs. A snapshot with a damaged document is deleted by its id, or the beginning of its id. Unpin a pinned snapshot first.",
    examples: ["delete 20261121T033000Z-1a2b3c4d --repo ./vault", "delete nightly --yes"],
    json: "{ id, dryRun }",
  })
    .argument("<id>", A_SNAPSHOT)
    .addOption(repositoryOption())
    .addOption(sourceOption());
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, reference: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { id, snapshot } = await look(repository, reference, options);
  const plan = snapshot ? describe(snapshot) : `To delete: snapshot ${id}, whose document is damaged.`;
  const source = snapshot?.source;
  if (options.dryRun) return { json: { id, dryRun: true }, text: `${plan} (dry run)` };
  await confirm(context, options.yes, plan, "Delete it?");
  await repository.delete(id);
  return {
    json: { id, dryRun: false },
    done: `Snapshot ${id} was deleted.`,
    text: `Deleted snapshot ${id}. ${source ? `It was of ${printable(source.uri)}. ` : ""}Its space comes back with lancedb-backup prune.`,
  };
}

/** Of one that cannot be read the id alone. @throws UsageError where it is not certain which one `latest` is. */
async function look(
  repository: Repository,
  reference: string,
  options: Options,
): Promise<{ readonly id: string; readonly snapshot?: SnapshotDetails }> {
  try {
    const snapshot = await repository.get(reference, { source: sourceFrom(options) });
    return { id: snapshot.id, snapshot };
  } catch (error) {
    const id = damagedSnapshot(error);
    if (id !== undefined && reference === "latest") {
      const command = commandLine("delete", id, "--repo", repositoryPath(options));
      throw new UsageError(
        `Snapshot ${id} may be the latest, but its document is damaged. If that is the one you mean: ${command}`,
      );
    }
    if (id !== undefined) return { id };
    if (error instanceof UnsupportedError) return { id: reference };
    throw error;
  }
}

function describe({ id, name, createdAt, tables, bytes, source }: SnapshotDetails): string {
  const called = name === undefined ? "" : ` (${name})`;
  const size = `${counted(tables.length, "table")}, ${formatBytes(bytes)}`;
  return `To delete: snapshot ${id}${called} of ${printable(source.uri)}, taken ${formatTime(createdAt)}, ${size}.`;
}
