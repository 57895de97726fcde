import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** All that a tree of files shows, by names as Latin-1: kinds, modes, times (to the millisecond), contents, which names are one file. */
export function treeAt(root: string): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  const numbers = new Map<number, number>();
  const walk = (place: Buffer, path: string): void => {
    for (const name of readdirSync(place, { encoding: "buffer" }).sort(Buffer.compare)) {
      const inner = Buffer.concat([place, Buffer.from("/"), name]);
      const at = path === "" ? name.toString("latin1") : `${path}/${name.toString("latin1")}`;
      const found = lstatSync(inner);
      const common = { mode: (found.mode & 0o7777).toString(8), ms: Math.round(found.mtimeMs) };
      if (found.isDirectory()) {
        tree[at] = { ...common, directory: true };
        walk(inner, at);
      } else if (found.isSymbolicLink()) {
        tree[at] = { ms: common.ms, link: readlinkSync(inner, { encoding: "buffer" }).toString("latin1") };
      } else if (found.isFile()) {
        const sha256 = createHash("sha256").update(readFileSync(inner)).digest("hex");
        if (found.nlink > 1 && !numbers.has(found.ino)) numbers.set(found.ino, numbers.size);
        tree[at] = { ...common, size: found.size, sha256, file: numbers.get(found.ino) };
      } else tree[at] = { ...common, special: true };
    }
  };
  walk(Buffer.from(root), "");
  return tree;
}
