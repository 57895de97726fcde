// Takes hard links away from this process, as a file system without them would: load it before what links.
import fs, { promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const refuse = () => Object.assign(new Error("EPERM: operation not permitted, link"), { code: "EPERM" });

Reflect.set(promises, "link", async () => {
  throw refuse();
});
Reflect.set(fs, "linkSync", () => {
  throw refuse();
});
syncBuiltinESMExports();
