import type { Command } from "commander";
import { printable } from "../../util/printable.ts";
import {
  A_SNAPSHOT,
  newCommand,
  type RepositoryOption,
  repositoryOption,
  type SourceOption,
  sourceFrom,
  sourceOption,
} from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { openRepository } from "../open-repository.ts";

interface Options extends RepositoryOption, SourceOption {
  readonly reason?: string;
}

export function pinCommand(): Command {
  return newCommand("pin", {
    summary: "Protect a snapshot from prune and delete.",
    description:
      "Pins a snapshot: prune keeps it and delete refuses it, until it is unpinned. The snapshot itself does not change.",
    examples: ["pin latest --reason 'before the migration' --repo ./vault", "pin 20261121T033000Z-1a2b3c4d"],
    json: "{ id, tags, pinned: { since, reason? } }",
  })
    .argument("<id>", A_SNAPSHOT)
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option("--reason <text>", "Why, for people.")
    .action(handle(pin));
}

export function unpinCommand(): Command {
  return newCommand("unpin", {
    summary: "Remove the pin of a snapshot.",
    description:
      "Removes the pin of a snapshot, so that the rules of prune apply to it again. Does nothing if it is not pinned.",
    examples: ["unpin nightly --repo ./vault"],
    json: "{ id, tags }",
  })
    .argument("<id>", A_SNAPSHOT)
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .action(handle(unpin));
}

async function pin(context: Context, wanted: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { reason } = options;
  const request = { source: sourceFrom(options), reason, signal: context.signal };
  const { id, tags, pinned, source } = await repository.pin(wanted, request);
  const done = `Snapshot ${id} of ${printable(source.uri)} is pinned.`;
  return { json: { id, tags, pinned }, text: done, done };
}

async function unpin(context: Context, wanted: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const request = { source: sourceFrom(options), signal: context.signal };
  const { id, tags, source } = await repository.unpin(wanted, request);
  const done = `Snapshot ${id} of ${printable(source.uri)} is not pinned.`;
  return { json: { id, tags }, text: done, done };
}
