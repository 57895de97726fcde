import type { Context } from "./context.ts";
import { UsageError } from "./usage-error.ts";

const [ENTER, LINE_FEED, CTRL_C, CTRL_D, CTRL_U] = ["\r", "\n", "\u0003", "\u0004", "\u0015"];
const BACKSPACES = new Set(["\u007f", "\b"]);

/** Whether somebody can be asked. */
export function canAsk({ screen }: Pick<Context, "screen">): boolean {
  return process.stdin.isTTY === true && screen.terminal.isTerminal;
}

/**
 * Asks for a secret at the terminal. What is typed is not shown.
 *
 * @throws UsageError where there is nobody to ask, or nothing is typed. @throws the signal's reason after Ctrl-C.
 */
export async function askSecret(context: Context, question: string): Promise<string> {
  if (!canAsk(context)) throw new UsageError(`There is no terminal to ask on: ${question}`);
  context.screen.status("");
  const secret = await readHidden(context, question);
  if (secret === "") throw new UsageError("Nothing was typed.");
  return secret;
}

/** The same for a secret that is new: it is asked for twice. @throws UsageError where the two differ */
export async function askNewSecret(context: Context, question: string): Promise<string> {
  const secret = await askSecret(context, question);
  if ((await askSecret(context, "Once more")) === secret) return secret;
  throw new UsageError("The two entries differ. Nothing was done.");
}

function readHidden({ interrupt, signal }: Context, question: string): Promise<string> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    let typed = "";
    const end = (settle: () => void) => {
      stdin.off("data", onData);
      signal.removeEventListener("abort", onAbort);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write("\n");
      settle();
    };
    const onAbort = () => end(() => reject(signal.reason));
    const onData = (data: Buffer) => {
      for (const character of data.toString("utf8")) {
        if (character === CTRL_C) return interrupt.request(); // ends by the signal
        if (character === ENTER || character === LINE_FEED || character === CTRL_D)
          return end(() => resolve(typed));
        if (character === CTRL_U) typed = "";
        else if (BACKSPACES.has(character)) typed = [...typed].slice(0, -1).join("");
        else typed += character;
      }
    };
    stdin.setRawMode(true);
    process.stderr.write(`${question}: `); // not before: what is typed at once would be shown
    stdin.on("data", onData);
    signal.addEventListener("abort", onAbort, { once: true });
    stdin.resume();
  });
}
