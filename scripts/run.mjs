// Runs a command of this project: installs what is missing, builds what is stale, then starts it.
//
//   node scripts/run.mjs [--no-build] [command [args...]]
//
// Without a command it only prepares. Plain JavaScript on Node's own modules, because it runs before anything
// is installed, on whatever Node (20 or newer) the machine has.
import { buildIfOwed } from "./lib/build.mjs";
import { installIfOwed } from "./lib/install.mjs";
import { runCommand } from "./lib/process.mjs";
import { PreparationError } from "./lib/project.mjs";

const args = process.argv.slice(2);
const wantsBuild = args[0] !== "--no-build";
if (!wantsBuild) args.shift();
const [command, ...commandArgs] = args;

try {
  await installIfOwed();
  if (wantsBuild) await buildIfOwed();
} catch (error) {
  if (!(error instanceof PreparationError)) throw error;
  process.stderr.write(`\n${error.message}\n`);
  process.exit(1);
}

if (command !== undefined) await runCommand(command, commandArgs);
