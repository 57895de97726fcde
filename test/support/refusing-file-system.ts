// Loaded with `--import` before a program: the file system refuses what the environment says.
//
//   REFUSE_LINKS=EACCES            no hard links
//   REFUSE_DIRECTORIES=/path/db    no directory in there is renamed (EXDEV), as of an overlay's lower layer
import fs, { promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { dirname } from "node:path";

function refusal(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: refused, ${call}`), { code });
}

const links = process.env["REFUSE_LINKS"];
if (links !== undefined) {
  Reflect.set(promises, "link", () => Promise.reject(refusal(links, "link")));
  Reflect.set(fs, "linkSync", () => {
    throw refusal(links, "link");
  });
}

const lower = process.env["REFUSE_DIRECTORIES"];
if (lower !== undefined) {
  const { rename } = promises;
  const { renameSync } = fs;
  const isLower = (path: unknown) =>
    typeof path === "string" && dirname(path) === lower && fs.lstatSync(path).isDirectory();
  Reflect.set(promises, "rename", (from: string, to: string) =>
    isLower(from) ? Promise.reject(refusal("EXDEV", "rename")) : rename(from, to),
  );
  Reflect.set(fs, "renameSync", (from: string, to: string) => {
    if (isLower(from)) throw refusal("EXDEV", "rename");
    renameSync(from, to);
  });
}
syncBuiltinESMExports();
