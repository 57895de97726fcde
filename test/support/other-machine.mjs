// Loaded by `node --import`: the process believes to run on another machine. OTHER_HOST is that one's name,
// OTHER_CLOCK_MS is added to what its clock says.

import { syncBuiltinESMExports } from "node:module";
import os from "node:os";

const { OTHER_HOST: host, OTHER_CLOCK_MS: offset } = process.env;

if (host) {
  os.hostname = () => host;
  syncBuiltinESMExports();
}

if (offset) {
  const RealDate = Date;
  const now = () => RealDate.now() + Number(offset);
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length === 0 ? [now()] : args));
    }
    static now() {
      return now();
    }
  };
}
