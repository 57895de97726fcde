import { assertFlag, assertKnown } from "../../checks.ts";
import { LockedError, ValidationError } from "../../errors.ts";
import type { Leaser } from "./lease.ts";
import type { FoundLease } from "./lease-record.ts";

export interface UnlockOptions {
  /** A lease's name, as `leases()` tells it. */
  readonly name?: string | undefined;
  /** All whose holders are dead. Default false. */
  readonly dead?: boolean | undefined;
  /** A live one, too: whoever holds it may be at work, and stops only when it finds that out. Default false. */
  readonly force?: boolean | undefined;
}

/**
 * Removes leases by hand, and answers with them.
 *
 * @throws ValidationError where neither or both are named, or there is no such lease. @throws LockedError for a live one
 * without `force`; nothing is removed then. @throws TypeError.
 */
export async function unlock(leaser: Leaser, options: UnlockOptions): Promise<FoundLease[]> {
  assertKnown(options, "unlock", { name: true, dead: true, force: true });
  const { name, dead = false, force = false } = options;
  assertFlag(dead, "dead");
  assertFlag(force, "force");
  if (name !== undefined && typeof name !== "string") throw new TypeError("name must be a string.");
  if ((name !== undefined) === dead)
    throw new ValidationError("Say which lease to remove: a name, or dead: true.");
  const all = await leaser.list();
  const chosen = all.filter((lease) => (dead ? lease.life === "dead" : lease.name === name));
  if (!dead && chosen.length === 0)
    throw new ValidationError(`There is no lease ${name}; it may have ended already.`);
  const live = chosen.find(({ life }) => life === "alive");
  if (live && !force)
    throw new LockedError(
      `${live.name} is held by ${live.holder}, which is at work. Removing it with force may destroy a snapshot that is being taken.`,
    );
  for (const lease of chosen) await leaser.remove(lease.name);
  return chosen;
}
