import { Command } from "commander";
import { policyCheckCommand } from "./policy-check.ts";
import { policyListCommand } from "./policy-list.ts";
import { policyShowCommand } from "./policy-show.ts";

export function policyCommand(): Command {
  const command = new Command("policy")
    .summary("Check, list and show the policies of a configuration file.")
    .description(
      "Policies are written in a YAML file: what is backed up, when, to where, how long it is kept, and how it is verified. run runs them; status shows how they are doing.",
    )
    .helpOption("-h, --help", "Show this help.")
    .helpCommand("help [command]", "Show the help of a command.");
  for (const each of [policyCheckCommand(), policyListCommand(), policyShowCommand()])
    command.addCommand(each);
  return command;
}
