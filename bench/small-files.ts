// `node bench/small-files.ts [--files 100000]`: a tree of small files, first and unchanged, by this package and by restic on the same disk: milliseconds of
// processors, and memory. The same as the part `small-files` of `npm run bench`, of which a page is made.
import { parseArgs } from "node:util";
import { FULL } from "./data/sizes.ts";
import { report } from "./harness/report.ts";
import { measureSmallFiles } from "./repository/small-trees.ts";

const { values } = parseArgs({ options: { files: { type: "string", default: "100000" } } });
report(await measureSmallFiles(FULL, Number(values.files)), FULL);
