import type { Context } from "./context.ts";
import type { ProgressDisplay } from "./output/progress.ts";

/** Progress on standard error; none with `--quiet`. */
export async function displayOf({ options, screen }: Context): Promise<ProgressDisplay> {
  const { noProgress, showProgress } = await import("./output/progress.ts");
  return options.quiet ? noProgress : showProgress(screen);
}
