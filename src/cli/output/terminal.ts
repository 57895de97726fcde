import type { WriteStream } from "node:tty";
import { styleText } from "node:util";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** One of the two outputs: whether somebody looks at it, how wide it is, and whether it may have colours. */
export interface Terminal {
  readonly isTerminal: boolean;
  /** Columns; infinite where it is no terminal: what goes to a file or a pipe is not cut. */
  readonly columns: number;
  style(style: Style, text: string): string;
}

/** What a terminal is taken for that does not say how wide it is. */
const USUAL_COLUMNS = 80;

export function terminalOf(
  stream: Pick<WriteStream, "isTTY" | "columns">,
  env: NodeJS.ProcessEnv,
  options: { readonly color: boolean },
): Terminal {
  const isTerminal = stream.isTTY === true;
  const isPlain = env["TERM"] === "dumb" || (env["NO_COLOR"] ?? "") !== "";
  const hasColor = isTerminal && options.color && !isPlain;
  return {
    isTerminal,
    get columns() {
      if (!isTerminal) return Number.POSITIVE_INFINITY;
      return stream.columns || Number(env["COLUMNS"]) || USUAL_COLUMNS;
    },
    style: (style, text) => (hasColor ? styleText(style, text, { validateStream: false }) : text),
  };
}
