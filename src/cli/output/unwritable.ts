import { isFull, isNotRead } from "../../fs/io.ts";
import { EXIT } from "../exit-codes.ts";

let done = "";

/** Says what stays true should the answer, which is about to be printed, be lost. */
export function tellIfLost(text: string): void {
  done = text;
}

/** Ends the process where its outputs cannot be written: in silence where nobody reads, else with a line. */
export function watchOutputs(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: Error) => {
      // Who reads us may stop reading: `lancedb-backup list | head`.
      if (isNotRead(error)) process.exit();
      const reason = isFull(error) ? "the disk is full" : error.message;
      const line = `error: The output could not be written: ${reason}. ${done}`.trimEnd();
      if (stream === process.stdout) process.stderr.write(`${line}\n`);
      process.exit(EXIT.failed);
    });
  }
}
