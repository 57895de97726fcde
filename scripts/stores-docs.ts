// Writes docs/stores.md from the table of known stores. A test fails when it is stale (test/storage/known-stores.test.ts).
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KNOWN_STORES, type KnownStore } from "../src/storage/s3/known-stores.ts";

export const STORES_DOCS = join(import.meta.dirname, "../docs/stores.md");

const INTRODUCTION = `# Stores that speak S3

Generated from \`src/storage/s3/known-stores.ts\` by \`npm run docs:stores\`; do not edit it here.

\`s3://bucket/prefix?region=…&endpoint=https://…\` names a bucket in any of them. A repository rests on **exclusive creation**:
PutObject with \`If-None-Match: *\` must be refused where the object is there, also when several come at once. Whatever this table says,
that is tried in the very bucket and prefix before the first write, and a store that lets two make the same object is refused. Where
never more than one process writes, \`init --unsafe-no-exclusive\` makes a repository there all the same, whose mark says so.

Bucket versioning and Object Lock change the answer with some stores: try the bucket that you mean to use.

- **Addressing**: where the bucket stands in a request; \`pathStyle=true\` or \`false\` says otherwise.
- **SDK's checksums**: whether it takes those that the AWS SDK adds by itself. This package sends none: the payload's SHA-256 is part of
  the signature, which every store checks.
- **Object Lock**: by S3's own headers.
- **Known**: \`measured\` here on 2026-11-28, on the release named; \`documented\` by its maker and not tried here; \`reported\` by its
  users. AWS itself was not at hand for any measurement.
`;

const COLUMNS: readonly (readonly [string, (store: KnownStore) => string])[] = [
  ["Store", ({ name }) => name],
  ["Endpoint", ({ endpoint }) => endpoint],
  ["Addressing", ({ pathStyle }) => (pathStyle ? "path" : "host")],
  [
    "Region where none is named",
    ({ host, region }) => region ?? (host?.source.includes("<region>") ? "the endpoint's" : "the SDK's"),
  ],
  ["Exclusive creation", ({ conditionalPut }) => conditionalPut],
  ["Object Lock", ({ objectLock }) => objectLock],
  ["SDK's checksums", ({ checksums }) => checksums],
  ["Known", ({ known }) => known],
];

/** The whole page. */
export function renderStoresDocs(): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const table = [
    row(COLUMNS.map(([title]) => title)),
    row(COLUMNS.map(() => "---")),
    ...KNOWN_STORES.map((store) => row(COLUMNS.map(([, cell]) => cell(store)))),
  ];
  const notes = KNOWN_STORES.map(({ name, note }) => `- **${name}**: ${note}`);
  return [INTRODUCTION, ...table, "", ...notes, ""].join("\n");
}

if (import.meta.main) writeFileSync(STORES_DOCS, renderStoresDocs());
