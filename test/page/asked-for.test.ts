import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import type { SnapshotDetails } from "../../src/index.ts";
import { nameOfSource, placesOf, restorableParts } from "../../src/page/restore-places.ts";
import { ask, listen, newPage, visit } from "./page-place.ts";

test("a restore goes into a new directory below those that the file names, whole", async () => {
  const { url, service, directory, page } = await newPage();
  const { snapshot } = await service.run("one");
  const root = join(directory, "restored");
  mkdirSync(join(root, "taken"), { recursive: true });
  const visitor = await visit(url, "administrator");
  const path = `/policies/one/snapshots/${snapshot?.id}`;
  const restore = (fields: Record<string, string>) => visitor.post(`${path}/restore`, fields);
  for (const fields of [
    { root, name: "../escaped" },
    { root, name: "a/b" },
    { root, name: ".hidden" },
    { root, name: "" },
    { root: directory, name: "elsewhere" },
    { root: `${root}/..`, name: "elsewhere" },
    { name: "nowhere" },
    { root, name: "taken" },
  ] as Record<string, string>[]) {
    const { status, body } = await restore(fields);
    expect({ fields, status }).toEqual({ fields, status: 400 });
    expect(JSON.parse(body).problem).toMatch(/\w/);
  }
  expect(existsSync(join(directory, "escaped")) || existsSync(join(directory, "elsewhere"))).toBe(false);

  const listened = listen(`${url}/events`, visitor.cookie);
  await listened.open;
  expect((await restore({ root, name: "back" })).status).toBe(202);
  await listened.saw("one: restore, done.");
  const table = await (await connect(join(root, "back"))).openTable("words");
  expect(await table.countRows()).toBe(2);
  const { body } = await visitor.get("/policies/one");
  expect(body).toContain(`into ${join(root, "back")}.`);
  expect(body).toContain("asked for by administrator");

  expect((await visitor.post(`${path.replace("one", "gated")}/restore`, { root, name: "x" })).status).toBe(
    404,
  );
  expect((await visitor.post("/policies/one/snapshots/none/restore", { root, name: "x" })).status).toBe(404);
  await page.close();
  await expect(ask(url)).rejects.toThrow("ECONNREFUSED");
});

test("a restore of a snapshot of several sources restores each", async () => {
  const { url, service, directory } = await newPage({
    policies: `  both: { sources: [{ type: lancedb, path: db }, { type: filesystem, paths: [papers] }] }`,
  });
  mkdirSync(join(directory, "papers"));
  writeFileSync(join(directory, "papers", "a.txt"), "kept");
  const root = join(directory, "restored");
  mkdirSync(root);
  const { snapshot } = await service.run("both");
  const visitor = await visit(url, "administrator");
  const path = `/policies/both/snapshots/${snapshot?.id}`;
  expect((await visitor.get(path)).body).toContain("Each source goes into a directory of its own");
  const listened = listen(`${url}/events`, visitor.cookie);
  await listened.open;
  expect((await visitor.post(`${path}/restore`, { root, name: "back" })).status).toBe(202);
  await listened.saw("both: restore, ");
  expect((await visitor.get("/policies/both")).body).not.toContain("Without");
  expect(await (await connect(join(root, "back", "lancedb"))).tableNames()).toEqual(["words"]);
  expect(readFileSync(join(root, "back", "files", "a.txt"), "utf8")).toBe("kept");
});

test("what goes into a database server is left out of a restore, and named", () => {
  const part = (type: string, id: string) =>
    ({ source: { type, id, uri: `${type}:x` } }) as SnapshotDetails["parts"][number];
  const { parts, left } = restorableParts([part("postgresql", "p"), part("files", "1"), part("files", "2")]);
  expect(left.map(nameOfSource)).toEqual(["postgresql postgresql:x"]);
  expect(placesOf(parts, "/r")).toEqual([
    { part: "1", target: "/r/files" },
    { part: "2", target: "/r/files-2" },
  ]);
});

test("what is not there, too much, and too often is refused in words", async () => {
  const { url, service, openGate, ran } = await newPage();
  const visitor = await visit(url, "operator");
  for (const path of [
    "/policies/two",
    "/policies/one/snapshots/x",
    "/policies/one/snapshots/..%2F..%2Fx",
    "/else",
  ])
    expect([path, (await visitor.get(path)).status]).toEqual([path, 404]);
  expect((await visitor.post("/policies/two/run")).status).toBe(400);
  expect((await visitor.post("/policies/one/run", { type: "odd" })).status).toBe(400);
  expect((await visitor.post("/policies/one/run", { type: "x".repeat(20_000) })).status).toBe(413);

  const ended = ran();
  expect((await visitor.post("/policies/gated/run")).status).toBe(202);
  const again = await visitor.post("/policies/gated/run");
  expect([again.status, JSON.parse(again.body)]).toEqual([
    409,
    { problem: "gated runs already. Wait for its end." },
  ]);
  const byForm = await visitor.post("/policies/gated/run", {}, { accept: "text/html" });
  expect([byForm.status, byForm.body.includes("gated runs already")]).toEqual([409, true]);
  await openGate();
  expect((await ended).outcome).toBe("success");
  expect(service.work).toEqual([]);

  // Without a script a form leads back to its page, which says once what was begun.
  const done = ran();
  const plain = await visitor.post("/policies/one/run", {}, { accept: "text/html" });
  expect([plain.status, plain.headers.location]).toEqual([303, "/policies/one"]);
  expect((await visitor.get("/policies/one")).body).toContain("A backup of one begins.</p>");
  expect((await visitor.get("/policies/one")).body).not.toContain("A backup of one begins.</p>");
  await done;
});
