import { Command, Option } from "commander";
import { newToken, ROLES, type Role } from "../../page/access-token.ts";
import { newCommand } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { UsageError } from "../usage-error.ts";

export function pageCommand(): Command {
  const command = new Command("page")
    .summary("Make tokens for the page that run serves.")
    .description(
      "run serves a page of its policies where their file has a section page. Who looks at it comes in with a token, of which the file holds a hash alone.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  return command.addCommand(tokenCommand());
}

function tokenCommand(): Command {
  return newCommand("token", {
    summary: "Make a token, and the line for the file.",
    description:
      "Makes a token of 256 random bits. It is shown this once, with the line for the file, from which it cannot be told. A reader sees; an operator runs and verifies; an administrator restores and prunes. To take it back, remove its line and send SIGHUP.",
    examples: ["page token --role reader", "page token --role operator --name anna"],
    json: "{ token, name, role, hash }",
  })
    .addOption(new Option("--role <role>", "What it is for.").choices([...ROLES]).makeOptionMandatory())
    .option("--name <name>", "Who it is for; shown on the page. Default: the role.")
    .action(handle(makeToken));
}

async function makeToken(
  _context: Context,
  { role, name = role }: { readonly role: Role; readonly name?: string },
): Promise<Answer> {
  if (!/^[^\p{C}]{1,100}$/u.test(name))
    throw new UsageError("--name must be 1 to 100 characters that can be shown.");
  const { token, hash } = await newToken();
  const line = `- { name: ${JSON.stringify(name)}, role: ${role}, hash: ${JSON.stringify(hash)} }`;
  const text = `The token, which is shown this once:\n${token}\n\nIts line below backup_manager, page, tokens:\n${line}`;
  return { json: { token, name, role, hash }, text };
}
