import type { Command } from "commander";
import { CorruptError, UnsupportedError } from "../../errors.ts";
import type { Repository, SnapshotDetails } from "../../repository/index.ts";
import {
  type ConfirmOptions,
  confirmOptions,
  newCommand,
  type RepositoryOption,
  repositoryOption,
} from "../command.ts";
import { confirm } from "../confirm.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";
import { formatBytes, formatTime } from "../output/format.ts";
import { printable } from "../output/printable.ts";

interface Options extends RepositoryOption, ConfirmOptions {}

export function deleteCommand(): Command {
  const command = newCommand("delete", {
    summary: "Delete a snapshot.",
    description:
      "Deletes a snapshot. Its space comes back with prune, when no other snapshot needs its blobs. Asks first; a snapshot whose document is damaged is deleted by its whole id.",
    examples: ["delete 20261121T033000Z-1a2b3c4d --repo ./vault", "delete nightly --yes"],
    json: "{ id, dryRun }",
  })
    .argument("<id>", "A snapshot: its id, the beginning of it, its name, or latest.")
    .addOption(repositoryOption());
  for (const option of confirmOptions()) command.addOption(option);
  return command.action(handle(run));
}

async function run(context: Context, reference: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const snapshot = await look(repository, reference);
  const id = snapshot?.id ?? reference;
  const plan = snapshot ? describe(snapshot) : `Snapshot ${id}, whose document is damaged, is deleted.`;
  if (options.dryRun) return { json: { id, dryRun: true }, text: `${plan} (dry run)` };
  await confirm(context, options.yes, plan, "Delete it?");
  await repository.delete(id);
  return {
    json: { id, dryRun: false },
    done: `Snapshot ${id} was deleted.`,
    text: `Deleted snapshot ${id}. Its space comes back with lancedb-backup prune.`,
  };
}

/** Undefined for one that cannot be read. */
async function look(repository: Repository, reference: string): Promise<SnapshotDetails | undefined> {
  try {
    return await repository.get(reference);
  } catch (error) {
    if (error instanceof CorruptError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function describe({ id, name, createdAt, tables, bytes, source }: SnapshotDetails): string {
  const called = name === undefined ? "" : ` (${name})`;
  const size = `${tables.length} tables, ${formatBytes(bytes)}`;
  return `Snapshot ${id}${called} of ${printable(source.uri)}, taken ${formatTime(createdAt)}, ${size}, is deleted.`;
}
