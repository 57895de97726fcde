import { createHash } from "node:crypto";
import { FORMAT } from "../../fs/record.ts";
import type { SnapshotContent, SnapshotDetails, SnapshotFile, SnapshotTableDetails } from "../snapshot.ts";

export interface EncodedSnapshot {
  readonly bytes: Buffer;
  readonly checksum: string;
}

/** The document of a snapshot, in the lines that docs/formats.md lays down. */
export function encodeSnapshot(
  snapshot: Omit<SnapshotDetails, "checksum">,
  files: SnapshotContent["files"],
): EncodedSnapshot {
  const lines = [`{"format":${FORMAT},"summary":${JSON.stringify(summaryOf(snapshot))},"content":{`];
  snapshot.tables.forEach((table, index) => {
    const end = index < snapshot.tables.length - 1 ? "]}," : "]}";
    lines.push(
      `${JSON.stringify(table.directory)}:{"versions":${JSON.stringify(versionsOf(table))},"files":[`,
    );
    const list = files.get(table.directory) ?? [];
    list.forEach((file, number) => {
      lines.push(JSON.stringify(lineOf(file)) + (number < list.length - 1 ? "," : ""));
    });
    lines.push(end);
  });
  lines.push("},", '"sha256":"');
  const body = Buffer.from(lines.join("\n"));
  const checksum = createHash("sha256").update(body).digest("hex");
  return { bytes: Buffer.concat([body, Buffer.from(`${checksum}"}\n`)]), checksum };
}

function summaryOf({ leftOut, software, ...snapshot }: Omit<SnapshotDetails, "checksum">): object {
  return {
    ...snapshot,
    createdAt: snapshot.createdAt.toISOString(),
    tables: snapshot.tables.map(({ versions, ...table }) => table),
    ...(leftOut && { leftOut }),
    software,
  };
}

function versionsOf(table: SnapshotTableDetails): [number, number | null, number][] {
  return table.versions.map(({ version, createdAt, rows }) => [version, createdAt?.getTime() ?? null, rows]);
}

function lineOf(file: SnapshotFile): unknown[] {
  return [file.path, file.size, file.sha256, file.inode, file.mtimeMs];
}
