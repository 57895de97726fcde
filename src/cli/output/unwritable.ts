import { EXIT } from "../exit-codes.ts";

let done = "";

/** Says what stays true should the answer, which is about to be printed, be lost. */
export function tellIfLost(text: string): void {
  done = text;
}

const REASONS: Record<string, string> = { ENOSPC: "the disk is full", EDQUOT: "the disk quota is used up" };

/** Ends the process where its outputs cannot be written: in silence where nobody reads, else with a line. */
export function watchOutputs(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", ({ code = "", message }: NodeJS.ErrnoException) => {
      // Who reads us may stop reading: `lancedb-backup list | head`.
      if (code === "EPIPE" || code === "EIO") process.exit();
      const reason = REASONS[code] ?? message;
      const line = `error: The answer could not be written to standard output: ${reason}. ${done}`.trimEnd();
      if (stream === process.stdout) process.stderr.write(`${line}\n`);
      process.exit(EXIT.failed);
    });
  }
}
