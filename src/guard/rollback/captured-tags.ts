import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { IoError } from "../../errors.ts";
import { listNames } from "../../fs/directory-tree.ts";
import { syncDirectory } from "../../fs/durable.ts";
import { PIN_ORDER, Placer } from "../../fs/placer.ts";
import { advice } from "../../hint.ts";
import { TAGS } from "../../lance/capture.ts";
import { listManifests, VERSIONS } from "../../lance/manifest.ts";
import type { PutBackPlan } from "../../lance/put-back/plan-put-back.ts";
import { isBornAfter } from "../../lance/put-back/table-state.ts";
import { parseTag, tagOfFile } from "../../lance/tag-file.ts";
import type { CapturedTable } from "../journal/entry-record.ts";
import type { TableHistory } from "./work-history.ts";

export interface TagPlan {
  readonly dataset: string;
  /** Where the captured tags lie. */
  readonly source: string;
  /** Tags that the guarded work touched, or that went with the table. */
  readonly tags: readonly string[];
  /** Tags that were there when the table was captured. */
  readonly captured: readonly string[];
  /** Whether the table had been made anew: what stands there under an old number is another's, unless it was kept. */
  readonly remade?: boolean | undefined;
  /** Where the table lies since it was dropped, with all its versions: they have come back from there. */
  readonly aside?: string | undefined;
}

/** Plans which tags of a table go back, or go: those that the work touched, and all where the whole table goes back. */
export function planTags(
  table: CapturedTable & { state: "present" },
  history: TableHistory | undefined,
  plan: PutBackPlan,
  request: { readonly kept: string; readonly explicit: boolean; readonly adopted: boolean },
): TagPlan {
  const wholeTable = plan.action === "rebuild" || plan.action === "relink" || request.explicit;
  const live = request.adopted ? listTags(plan.target.dataset) : [];
  const tags = new Set([...(wholeTable ? table.tags : []), ...(history?.tags ?? []), ...live]);
  return {
    dataset: plan.target.dataset,
    source: join(request.kept, table.directory),
    tags: [...tags],
    captured: table.tags,
    aside: plan.target.asideDataset,
    remade: plan.action === "relink" && isBornAfter(plan.target.dataset, plan.target.capturedAt),
  };
}

/**
 * Puts tags back: those that were captured return to what they were, those that the work made go. A tag
 * whose version did not come back is left out: LanceDB could not open it.
 */
export async function putTagsBack(plan: TagPlan): Promise<string[]> {
  const leftOut: string[] = [];
  if (plan.tags.length === 0) return leftOut;
  const known = plan.remade ? [plan.source, ...(plan.aside ? [plan.aside] : [])] : [plan.dataset];
  const versions = new Set(
    (await Promise.all(known.map(listManifests))).flat().map(({ version }) => version),
  );
  const placer = new Placer(PIN_ORDER);
  for (const tag of plan.tags) {
    const path = `${TAGS}/${tag}.json`;
    const live = join(plan.dataset, path);
    const kept = join(plan.source, path);
    if (!plan.captured.includes(tag)) {
      rmSync(live, { force: true });
    } else if (!isNamed(kept, plan.dataset, versions)) {
      leftOut.push(tag);
    } else if (!existsSync(live) || !readFileSync(live).equals(readFileSync(kept))) {
      await placer.placeOver(kept, plan.dataset, path);
    }
  }
  await placer.sync();
  if (existsSync(join(plan.dataset, TAGS))) await syncDirectory(dirname(join(plan.dataset, TAGS, "x")));
  return leftOut;
}

/** The names of a table's tags. */
function listTags(dataset: string): string[] {
  return listNames(join(dataset, TAGS)).flatMap((name) => tagOfFile(name) ?? []);
}

/**
 * Before anything changes: what was captured, and is not there now, is away or damaged, and no tag is given up for that.
 *
 * @throws IoError
 */
export function assertTagsKept(plans: readonly TagPlan[]): void {
  for (const plan of plans) {
    for (const tag of plan.tags) if (plan.captured.includes(tag)) assertKept(tag, plan);
  }
}

function assertKept(tag: string, { source, dataset }: TagPlan): void {
  const path = join(source, TAGS, `${tag}.json`);
  if (existsSync(path)) return;
  throw new IoError(
    advice`The tag "${tag}" of ${dataset} cannot be put back: ${path} is missing. Is the disk of the backup mounted? Where it is gone for good, ${{ call: "recover", options: { onConflict: "keep" } }} leaves the table as it is.`,
    { path, errno: "ENOENT" },
  );
}

/** Whether what a tag names is there. A branch stays where it is, whatever becomes of the main line. */
function isNamed(tagFile: string, dataset: string, versions: ReadonlySet<number>): boolean {
  const { version, branch } = parseTag(readFileSync(tagFile));
  return branch === undefined ? versions.has(version) : existsSync(join(dataset, "tree", branch, VERSIONS));
}
