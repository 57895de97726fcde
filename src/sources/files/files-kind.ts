import type { SourceKind } from "../../engine/source-kind.ts";
import { localPath } from "../../fs/local-path.ts";
import { assertFilesAbout, assertFilesPart, leftOutOf } from "./files-part.ts";
import { FilesSource } from "./files-source.ts";
import { patternsFrom } from "./ignore-rules.ts";

export const FILES_KIND: SourceKind = {
  type: "files",
  schemes: ["file"],
  urlOptions: ["exclude", "excludeFrom", "oneFileSystem"],
  fromUrl(url, { sourceId, exclude = [], excludeFrom = [], oneFileSystem }) {
    const patterns = [...exclude, ...patternsFrom(excludeFrom)];
    return new FilesSource(localPath(url, "source"), { sourceId, exclude: patterns, oneFileSystem });
  },
  assertAbout: assertFilesAbout,
  assertPart: assertFilesPart,
  leftOut: (part) => leftOutOf(part),
  async planRestore(request) {
    const { planTree } = await import("./plan-tree.ts");
    planTree(request);
  },
  async restore(request) {
    const { restoreTree } = await import("./restore-tree.ts");
    return restoreTree(request);
  },
  async test(request) {
    const { testTree } = await import("./test-tree.ts");
    return testTree(request);
  },
};
