import { BackupNotFoundError, UnsupportedError } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import type { Labels } from "../labels/label-record.ts";
import { LabelStore } from "../labels/label-store.ts";
import type { CopyTarget } from "./copy-target.ts";
import type { CopyPlace } from "./plan-copy.ts";

/**
 * Takes along what was said of snapshots after they were taken, and takes nothing away there.
 *
 * @param ids of snapshots that both repositories have.
 * @returns ids of those that have a pin or a tag now that they did not have
 */
export async function copyLabels(
  { from, to, logger }: { readonly from: CopyPlace; readonly to: CopyPlace; readonly logger: Logger },
  target: Pick<CopyTarget, "blobs">,
  ids: readonly string[],
): Promise<string[]> {
  const { storage, documents } = target.blobs;
  const there = new LabelStore({ storage, documents });
  const labelled: string[] = [];
  for (const [id, { record, error }] of await new LabelStore(from.blobs).all()) {
    if (!ids.includes(id)) continue;
    if (!record) {
      logger.warn("the labels of a snapshot cannot be read, and were not copied", {
        ...{ snapshot: id, reason: error?.message },
      });
      continue;
    }
    let isNew = false;
    const revise = (now: Labels): Labels => {
      const tags = [...now.tags, ...record.tags.filter((tag) => !now.tags.includes(tag))];
      const pinned = now.pinned ?? record.pinned;
      isNew = tags.length > now.tags.length || pinned !== now.pinned;
      return isNew ? { tags, ...(pinned && { pinned }) } : now;
    };
    try {
      const { snapshot } = await to.catalog.content(id);
      await there.change(id, snapshot.tags, revise);
      if (isNew) labelled.push(id);
    } catch (failure) {
      if (failure instanceof UnsupportedError) {
        logger.warn("the labels of a snapshot in the target are a newer version's, and stay as they are", {
          ...{ snapshot: id, reason: failure.message },
        });
      } else if (!(failure instanceof BackupNotFoundError)) throw failure; // removed there meanwhile
    }
  }
  return labelled;
}
