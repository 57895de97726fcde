import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isMissing, reasonOf } from "../fs/io.ts";
import { livenessOfToken } from "../fs/process-token.ts";
import type { Logger } from "../logger.ts";

/** What a file is called until it is whole, with its maker, and the claims on its name where there are no links. */
const TEMPORARY =
  /^\.lancedb_(?:backup|delta)_\d+_\d{6}\.(?:json|arrow)\.(?:(?:([\w-]+)\.)?[0-9a-f-]{8,36}\.tmp|\d{1,9}\.claim)$/;

/** Nobody writes for so long without a byte, where it cannot be told whether he lives. */
const DEAD_MS = 10 * 60 * 1000;

/** Removes what processes that died left half written. */
export function sweepTemporary(directory: string, logger: Logger): void {
  try {
    for (const name of readdirSync(directory)) {
      const found = TEMPORARY.exec(name);
      if (!found) continue;
      const path = join(directory, name);
      const life = livenessOfToken(found[1] ?? "", path);
      const isOld = () => Date.now() - statSync(path).mtimeMs > DEAD_MS;
      if (life === "dead" || (life === "unknown" && isOld())) rmSync(path, { force: true });
    }
  } catch (error) {
    if (isMissing(error)) return;
    const reason = reasonOf(error);
    logger.warn("half-written periodic files could not be removed", { directory, reason });
  }
}
