// `node bench/s3.ts [--quick] [--parts times,requests,memory] [--runs 3]`: repositories in a bucket beside restic's, on one radosgw on this machine, all in turns. The
// same as the part `bucket` of `npm run bench`, of which a page is made.
import { parseArgs } from "node:util";
import { BUCKET_PARTS, measureBucket } from "./bucket/measure-bucket.ts";
import { FULL, QUICK } from "./data/sizes.ts";
import { report } from "./harness/report.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    parts: { type: "string", default: BUCKET_PARTS.join() },
  },
});
const sizes = values.quick ? QUICK : FULL;
const wanted = values.parts.split(",");
const parts = BUCKET_PARTS.filter((part) => wanted.includes(part));
report(await measureBucket(sizes, parts, values.quick ? 1 : Number(values.runs)), sizes);
