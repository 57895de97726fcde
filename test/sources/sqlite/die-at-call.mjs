// Preloaded (--import): the process dies by a signal directly before its nth call that changes a directory.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

let left = Number(process.env["DIE_AT_CALL"]);
for (const name of ["rmSync", "renameSync", "linkSync", "fsyncSync"]) {
  const call = fs[name];
  fs[name] = (...args) => {
    if (left-- === 0) process.kill(process.pid, "SIGKILL");
    return call(...args);
  };
}
syncBuiltinESMExports();
