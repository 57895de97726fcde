import type { Writable } from "node:stream";
import type { Terminal } from "./terminal.ts";

/**
 * Standard error: whole lines, and on a terminal below them one line that is written over, for progress.
 */
export class Screen {
  readonly terminal: Terminal;
  readonly #stream: Writable;
  #status = "";

  constructor(stream: Writable, terminal: Terminal) {
    this.#stream = stream;
    this.terminal = terminal;
  }

  line(text: string): void {
    const status = this.#status;
    this.status("");
    this.#stream.write(`${text}\n`);
    this.status(status);
  }

  /** Shows a line in place of the last such line; the empty text takes it away. Terminals only. */
  status(text: string): void {
    if (!this.terminal.isTerminal || text === this.#status) return;
    this.#stream.write(`\r\u001b[2K${text}`);
    this.#status = text;
  }
}
