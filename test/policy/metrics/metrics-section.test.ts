import { join } from "node:path";
import { expect, test } from "vitest";
import { loadPolicies } from "../../../src/policy/policies.ts";
import { PolicyFileError } from "../../../src/policy/policy-file-error.ts";
import { newDirectory } from "../../support/database.ts";
import { writePolicies } from "../../support/policies.ts";

async function load(metrics: string, env: Record<string, string> = {}) {
  const directory = await newDirectory();
  const file = writePolicies(directory, {
    defaults: `metrics: ${metrics}`,
    policies: "one: { sources: [{ type: sqlite, path: db }], schedule: { full: 1d } }",
  });
  return { directory, set: await loadPolicies(file, env) };
}

async function problemsOf(metrics: string): Promise<string[]> {
  const error: unknown = await load(metrics).catch((thrown: unknown) => thrown);
  if (!(error instanceof PolicyFileError)) throw new Error("no PolicyFileError");
  return error.problems.map(({ line, key, message }) => `${line} ${key}: ${message}`);
}

test("a port alone is of loopback; other places are named", async () => {
  const listens = async (text: string) => (await load(`{ listen: ${text} }`)).set.metrics.listen;
  expect(await listens("9469")).toEqual({ host: "127.0.0.1", port: 9469 });
  expect(await listens('"9469"')).toEqual({ host: "127.0.0.1", port: 9469 });
  expect(await listens("0.0.0.0:80")).toEqual({ host: "0.0.0.0", port: 80 });
  expect(await listens('"[::1]:9469"')).toEqual({ host: "::1", port: 9469 });
  expect(await listens("backup.example.com:1")).toEqual({ host: "backup.example.com", port: 1 });
  expect((await load("{}")).set.metrics.listen).toBeUndefined();
});

test("paths are from the file's directory on, and secrets are filled in and not shown", async () => {
  const text = `{ textfile: out/a.prom, push: { url: "https://gw", authorization: "\${TOKEN}" } }`;
  const { directory, set } = await load(text, { TOKEN: "Bearer hidden-word" });
  expect(set.metrics.textfile).toBe(join(directory, "out/a.prom"));
  expect(set.metrics.push).toEqual({ url: "https://gw", authorization: "Bearer hidden-word" });
  expect(JSON.stringify(set)).not.toContain("hidden-word");
});

test("what is wrong is told with its line, its key, and what is allowed", async () => {
  const place =
    "it must be a port of this machine alone, or a host and a port: 9469, 127.0.0.1:9469, [::1]:9469";
  for (const listen of [
    "no",
    '"::1:9469"',
    "127.0.0.1",
    "http://a:1",
    "-1",
    "70000",
    "1.5",
    "[1]",
    '"a b:1"',
    '""',
  ])
    expect([listen, await problemsOf(`{ listen: ${listen} }`)]).toEqual([
      listen,
      [`3 backup_manager.metrics.listen: ${place}`],
    ]);
  expect(await problemsOf('{ listen: "127.0.0.1:70000" }')).toEqual([
    "3 backup_manager.metrics.listen: it must have a port from 0 to 65535",
  ]);
  expect(await problemsOf("{ textfile: a.txt }")).toEqual([
    "3 backup_manager.metrics.textfile: it must be a file that ends with .prom: node_exporter reads no other",
  ]);
  expect(await problemsOf("{ push: { url: ftp://a } }")).toEqual([
    "3 backup_manager.metrics.push.url: it must be an address, https://…",
  ]);
  expect(await problemsOf("{ page: 1 }")).toEqual([
    "3 backup_manager.metrics.page: there is no such key; there are listen, textfile, push",
  ]);
});
