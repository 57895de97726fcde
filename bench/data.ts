// Makes the data of the bench: `npm run bench:data`. `npm run bench` does it by itself.
import { makeData } from "./data/databases.ts";
import { FULL, QUICK } from "./data/sizes.ts";

await makeData(process.argv.includes("--quick") ? QUICK : FULL);
