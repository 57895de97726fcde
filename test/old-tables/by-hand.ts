import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { parseManifest, parseManifestName } from "../../src/lance/manifest.ts";
import { DataFragmentSchema, ManifestSchema } from "../../src/lance/proto/lance_pb.ts";

const FOOTER_BYTES = 16;
const WRITER_VERSION = 13;

/**
 * Makes a dataset like those of Lance before 0.8.15, which do not say what wrote them: `none`: nor how many rows there
 * are, as 0.7 (LanceDB's Node package is younger); `wrong`: rows that were deleted are taken off twice, as 0.8.
 */
export function makeOldest(dataset: string, counts: "none" | "wrong"): void {
  const versions = join(dataset, "_versions");
  for (const name of readdirSync(versions)) {
    const parsed = parseManifestName(name);
    if (!parsed) continue;
    const path = join(versions, name);
    writeFileSync(path, older(readFileSync(path), parsed.version, counts));
  }
}

function older(bytes: Buffer, version: number, counts: "none" | "wrong"): Buffer {
  const footer = bytes.subarray(bytes.length - FOOTER_BYTES);
  const start = Number(footer.readBigUInt64LE(0));
  const { message } = parseManifest(bytes, version, "the manifest");
  const fragments = message.fragments.map((one) => {
    const fragment = fromBinary(DataFragmentSchema, one);
    const deleted = fragment.deletionFile?.numDeletedRows ?? 0n;
    fragment.physicalRows = counts === "none" ? 0n : fragment.physicalRows - deleted;
    if (counts === "none" && fragment.deletionFile) fragment.deletionFile.numDeletedRows = 0n;
    for (const file of fragment.files) file.fileSizeBytes = 0n;
    return toBinary(DataFragmentSchema, fragment);
  });
  const $unknown = (message.$unknown ?? []).filter(({ no }) => no !== WRITER_VERSION);
  const body = toBinary(ManifestSchema, { ...message, fragments, $unknown });
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([bytes.subarray(0, start), length, body, footer]);
}
