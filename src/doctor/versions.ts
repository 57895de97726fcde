import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf } from "../fs/io.ts";
import { resolveHere } from "../require-here.ts";
import { manifest } from "../util/build-facts.ts";
import type { Finding } from "./finding.ts";

interface PackageFile {
  readonly name?: string;
  readonly version: string;
}

/** Nothing works without them, whatever npm is told of peers. */
const REQUIRED: ReadonlySet<string> = new Set(["@lancedb/lancedb", "apache-arrow"]);

/** Node, this package and its peers: whether they are there, in versions that go together, and can be loaded. */
export async function diagnoseVersions(): Promise<Finding[]> {
  const findings: Finding[] = [
    { check: "version", about: "lancedb-backup", level: "ok", details: manifest.version },
    diagnoseNode(manifest.engines["node"] ?? "*"),
  ];
  for (const [name, range] of Object.entries(manifest.peerDependencies)) {
    const isNeeded = manifest.peerDependenciesMeta[name]?.optional !== true || REQUIRED.has(name);
    if (isNeeded || installedVersion(name) !== undefined) findings.push(diagnosePeer(name, range));
  }
  if (installedVersion("@lancedb/lancedb") === undefined) return findings;
  const native = await import("@lancedb/lancedb").then(
    () => undefined,
    (error: unknown) => reasonOf(error),
  );
  if (native !== undefined) {
    findings.push({
      check: "version",
      about: "@lancedb/lancedb",
      level: "problem",
      details: `It cannot be loaded: ${native.split("\n", 1).join()}`,
      advice:
        "Install it again on this machine: npm install @lancedb/lancedb. Each platform has a package of its own.",
    });
  }
  return findings;
}

function diagnoseNode(range: string): Finding {
  const { version, platform, arch } = process;
  const fits = satisfies(version.slice(1), range);
  return {
    check: "version",
    about: "Node.js",
    level: fits ? "ok" : "problem",
    details: `${version.slice(1)} on ${platform} ${arch}`,
    advice: fits ? undefined : `Use Node.js ${range}.`,
  };
}

function diagnosePeer(name: string, range: string): Finding {
  const base = { check: "version", about: name };
  const version = installedVersion(name);
  if (version === undefined) {
    const advice = `npm install "${name}@${range}"`;
    return { ...base, level: "problem", details: "It is not installed.", advice };
  }
  if (satisfies(version, range)) return { ...base, level: "ok", details: version };
  return {
    ...base,
    level: "problem",
    details: `${version}, and this package is made for ${range}.`,
    advice: `npm install "${name}@${range}", or look for a release of lancedb-backup that is made for ${version}.`,
  };
}

function installedVersion(name: string): string | undefined {
  const found = resolveHere(name);
  if (found === undefined) return undefined;
  let directory = dirname(found);
  for (; directory !== dirname(directory); directory = dirname(directory)) {
    try {
      const found = readPackage(join(directory, "package.json"));
      if (found.name === name) return found.version;
    } catch {
      // none there, or one of a folder inside the package: look further up
    }
  }
  return undefined;
}

function readPackage(path: string): PackageFile {
  return JSON.parse(readFileSync(path, "utf8")) as PackageFile;
}

/** For ranges as our own package.json has them: comparators that must all hold. */
function satisfies(version: string, range: string): boolean {
  return range.split(" ").every((comparator) => {
    const [, operator = "", wanted = ""] = /^(>=|<=|<|>)?(.*)$/.exec(comparator) ?? [];
    if (wanted === "*") return true;
    const order = compare(version, wanted);
    if (operator === ">=") return order >= 0;
    if (operator === "<=") return order <= 0;
    if (operator === "<") return order < 0;
    return operator === ">" ? order > 0 : order === 0;
  });
}

function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => (version.split("-", 1)[0] ?? "").split(".").map(Number));
  for (let part = 0; part < 3; part++) {
    const difference = (left?.[part] ?? 0) - (right?.[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
