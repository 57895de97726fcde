import { createInterface } from "node:readline/promises";
import type { Context } from "./context.ts";
import { Declined, UsageError } from "./usage-error.ts";

/**
 * Has somebody agree to what cannot be undone: `--yes`, or the answer at a terminal, where the plan is shown first.
 *
 * @throws UsageError where there is nobody to ask. @throws Declined
 */
export async function confirm(
  context: Context,
  yes: boolean | undefined,
  plan: string,
  question: string,
): Promise<void> {
  if (yes) return;
  const { screen, signal, interrupt } = context;
  if (!process.stdin.isTTY || !screen.terminal.isTerminal) {
    throw new UsageError(
      "There is no terminal to ask on: add --yes, or see with --dry-run what would be done.",
    );
  }
  interrupt.describe("Nothing was done.");
  screen.line(plan);
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  const newLine = () => process.stderr.write("\n");
  // Ctrl-D closes it without an answer.
  const closed = new Promise<string>((resolve) => reader.once("close", () => resolve("\n")));
  reader.on("SIGINT", () => {
    newLine();
    interrupt.request();
  });
  try {
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal }), closed]);
    if (answer === "\n") newLine();
    if (!/^y(es)?$/i.test(answer.trim())) throw new Declined();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    reader.close();
  }
}
