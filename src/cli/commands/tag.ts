import type { Command } from "commander";
import { collect } from "../arguments.ts";
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
  readonly add?: string[];
  readonly remove?: string[];
}

export function tagCommand(): Command {
  return newCommand("tag", {
    summary: "Add or remove tags of a snapshot.",
    description:
      "Changes the tags of a snapshot. list and copy can filter by tags, and prune --keep-tag keeps them. The snapshot itself does not change.",
    examples: ["tag latest --add release-2 --repo ./vault", "tag nightly --add keep --remove trial"],
    json: "{ id, tags, pinned?: { since, reason? } }",
  })
    .argument("<id>", A_SNAPSHOT)
    .addOption(repositoryOption())
    .addOption(sourceOption())
    .option("--add <tag>", "A tag to add; may be given several times.", collect)
    .option("--remove <tag>", "A tag to remove; may be given several times.", collect)
    .action(handle(run));
}

async function run(context: Context, wanted: string, options: Options): Promise<Answer> {
  await using repository = await openRepository(context, options);
  const { add, remove } = options;
  const request = { add, remove, source: sourceFrom(options), signal: context.signal };
  const { id, tags, pinned } = await repository.tag(wanted, request);
  const done = `Snapshot ${id}: ${tags.length > 0 ? `its tags are ${tags.join(", ")}` : "it has no tag"}.`;
  return { json: { id, tags, ...(pinned && { pinned }) }, text: done, done };
}
