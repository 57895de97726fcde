import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(join(import.meta.dirname, "../..", path), "utf8");

test("the range of LanceDB is what is tried, and the README says so", () => {
  const { peerDependencies, peerDependenciesMeta, devDependencies } = JSON.parse(read("package.json"));
  const newest: string = devDependencies["@lancedb/lancedb"];
  const list = /^const OLDER = \[(.*?)\];$/m.exec(read("scripts/versions.ts"))?.[1] ?? "";
  const older = [...list.matchAll(/"([^"]+)"/g)].map(([, version]) => version);
  const [major, minor] = newest.split(".");
  const range = `>=${older[0]} <${major}.${Number(minor) + 1}.0`;
  expect(peerDependencies["@lancedb/lancedb"]).toBe(range);
  // Else npm brings a second copy beside the one that another package asks for.
  expect(peerDependenciesMeta["@lancedb/lancedb"]).toEqual({ optional: true });
  expect(read("README.md").replace(/\s+/g, " ")).toContain([...older, newest].join(", "));
  expect(read(".ci/run")).toContain(`test:versions -- ${older[0]} `);
});
