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
    summary: "Show who is using a repository, and remove leases of dead processes.",
    description:
      "Without an argument it lists the leases: who holds them, since when, and whether that process is alive. With a name it removes that lease, with --dead all leases of dead processes. A live one is only removed with --force.",
    examples: ["unlock --repo ./vault", "unlock --dead"],
    json: "{ leases: [{ name, kind, alive, life, holder, since?, lastSign }], removed: [the same] }",
  })
    .argument("[name]", "A lease, as the list names it.")
    .addOption(repositoryOption())
    .option("--dead", "Remove the leases of all dead processes.")
    .option(
      "--force",
      "Also remove a live one. Only do this if you know that its process has stopped working.",
    )
    .action(handle(run));
}

async function run(context: Context, name: string | undefined, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { dead, force } = options;
  if (name === undefined && !dead) {
    const leases = await repository.leases();
    const text = leases.length === 0 ? "Nobody is using it." : leases.map(describe).join("\n");
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
