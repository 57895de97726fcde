import { Command, Option } from "commander";
import { newToken, ROLES, type Role } from "../../page/access-token.ts";
import { newCommand } from "../command.ts";
import type { Answer, Context } from "../context.ts";
import { handle } from "../handle.ts";
import { UsageError } from "../usage-error.ts";

export function pageCommand(): Command {
  const command = new Command("page")
    .summary("Make tokens for the web page that run serves.")
    .description(
      "run serves a web page about its policies if their file has a section page. Visitors sign in with a token; the file holds only its hash.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  return command.addCommand(tokenCommand());
}

function tokenCommand(): Command {
  return newCommand("token", {
    summary: "Make a token, and the line for the file.",
    description:
      "Makes a token of 256 random bits and shows it once, with the line for the file, which holds only its hash. A reader looks; an operator also runs and verifies; an administrator also restores and prunes. To revoke a token, remove its line and send SIGHUP.",
    examples: ["page token --role reader", "page token --role operator --name anna"],
    json: "{ token, name, role, hash }",
  })
    .addOption(new Option("--role <role>", "The role.").choices([...ROLES]).makeOptionMandatory())
    .option("--name <name>", "The name shown on the page. Default: the role.")
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
  const text = `The token, which is shown only once:\n${token}\n\nIts line below backup_manager, page, tokens:\n${line}`;
  return { json: { token, name, role, hash }, text };
}
