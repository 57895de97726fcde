import type { Command } from "commander";
import type { FoundLease } from "../../repository/index.ts";
import { formatTime } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { newCommand, type RepositoryOption, repositoryOption } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";

interface Options extends RepositoryOption {
  readonly dead?: boolean;
  readonly force?: boolean;
}

export function unlockCommand(): Command {
  return newCommand("unlock", {
    summary: "Show who works in a repository, and remove what a dead process holds.",
    description:
      "Without an argument lists the leases: who holds them, since when, and whether that process lives. Removes one by its name, or with --dead all of dead processes. A live one is removed only with --force.",
    examples: ["unlock --repo ./vault", "unlock --dead"],
    json: "{ leases: [{ name, kind, alive, life, holder, since?, lastSign }], removed: [the same] }",
  })
    .argument("[name]", "A lease, as the list names it.")
    .addOption(repositoryOption())
    .option("--dead", "Remove the leases of all dead processes.")
    .option("--force", "Remove a live one, too: only when its process is known to do nothing any more.")
    .action(handle(run));
}

async function run(context: Context, name: string | undefined, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { dead, force } = options;
  if (name === undefined && !dead) {
    const leases = await repository.leases();
    const text = leases.length === 0 ? "Nobody works in it." : leases.map(describe).join("\n");
    return { json: { leases, removed: [] }, text };
  }
  const removed = await repository.unlock({ name, dead, force });
  const text = removed.map((lease) => `Removed ${describe(lease)}`).join("\n") || "There are no dead leases.";
  return { json: { leases: await repository.leases(), removed }, text };
}

function describe({ name, kind, life, holder, lastSign }: FoundLease): string {
  const who = printable(holder);
  return `${name}  ${kind}, ${life}: ${who}, last sign ${formatTime(lastSign)}`;
}
