import { readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A directory of programs in which one is replaced by a shell script, to which `$REAL` is the program itself. */
export function fakeProgram(directory: string, from: string, name: string, script: string): string {
  for (const other of readdirSync(from)) {
    if (other !== name) symlinkSync(join(from, other), join(directory, other));
  }
  const text = `#!/bin/sh\nREAL=${join(from, name)}\n${script}\n`;
  writeFileSync(join(directory, name), text, { mode: 0o755 });
  return directory;
}
