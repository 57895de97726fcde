// Makes the process that loads it (`node --import`) seem to run on another machine: host, boot and clock are those of
// ANOTHER_HOST, ANOTHER_BOOT, ANOTHER_MACHINE and CLOCK_AHEAD_MS, where they are set.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";

const { ANOTHER_HOST, ANOTHER_BOOT, ANOTHER_MACHINE, CLOCK_AHEAD_MS } = process.env;
if (ANOTHER_HOST) os.hostname = () => ANOTHER_HOST;
const read = fs.readFileSync;
fs.readFileSync = (path, ...rest) => {
  if (ANOTHER_BOOT && path === "/proc/sys/kernel/random/boot_id") return `${ANOTHER_BOOT}\n`;
  if (ANOTHER_MACHINE !== undefined && /machine-id$/.test(String(path))) return `${ANOTHER_MACHINE}\n`;
  return read(path, ...rest);
};
if (CLOCK_AHEAD_MS) {
  const RealDate = Date;
  const ahead = Number(CLOCK_AHEAD_MS);
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      if (args.length === 0) super(RealDate.now() + ahead);
      else super(...args);
    }
    static now() {
      return RealDate.now() + ahead;
    }
  };
}
syncBuiltinESMExports();
