import { readFileSync } from "node:fs";
import { join } from "node:path";

const library = join(import.meta.dirname, "../../node_modules/uplot");
const read = (...path: string[]) => readFileSync(join(...path), "utf8");

/** What browsers are served. In what is published these are constants (scripts/lib/bundle.mjs), so that no file must lie anywhere. */
export const script = read(import.meta.dirname, "client/page.js");
/** uPlot, with its licence. */
export const charts = `/*!\n${read(library, "LICENSE")}*/\n${read(library, "dist/uPlot.iife.min.js")}`;
export const chartsStyle = read(library, "dist/uPlot.min.css");
