import type { Context } from "./context.ts";
import type { ProgressDisplay } from "./output/show-progress.ts";

/** Progress on standard error; none with `--quiet`. */
export async function displayOf({ options, screen }: Context): Promise<ProgressDisplay> {
  const { noProgress, showProgress } = await import("./output/show-progress.ts");
  return options.quiet ? noProgress : showProgress(screen);
}
