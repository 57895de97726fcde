/**
 * Guarded operations of this process that wait for each other's tables would wait until their time is up, and
 * each would hold what the other needs. Here it can be told at once. Of other processes nothing is known but
 * who holds a table, so there the time limit stands.
 */
export interface Holder {
  /** The operation's id, as the lock on the disk names it. */
  readonly operation: string;
  /** The operations that this one runs inside of, innermost first: they end only after it. */
  readonly enclosing: readonly Holder[];
  holds(table: string): boolean;
}

interface Wait {
  readonly table: string;
  /** The operation that has it. */
  readonly holder: string;
}

const holders = new Map<string, Holder>();
const waits = new Map<Holder, Wait>();

/** Makes an operation known that has got its first table. */
export function nowHolds(holder: Holder): void {
  holders.set(holder.operation, holder);
}

export function holdsNoMore(holder: Holder): void {
  holders.delete(holder.operation);
}

export function nowWaits(waiter: Holder, wait: Wait): void {
  waits.set(waiter, wait);
}

export function waitsNoMore(waiter: Holder): void {
  waits.delete(waiter);
}

/** Whether what a waiter waits for can only come when the waiter itself, or what it runs inside of, has ended. */
export function isDeadlock(waiter: Holder): boolean {
  const own = new Set(lineOf(waiter).map(({ operation }) => operation));
  const seen = new Set<string>();
  const leadsBack = (wait: Wait | undefined): boolean => {
    if (!wait || !holders.get(wait.holder)?.holds(wait.table)) return false; // free by now, or another process's
    if (own.has(wait.holder)) return true;
    if (seen.has(wait.holder)) return false;
    seen.add(wait.holder);
    return [...waits].some(
      ([other, next]) => lineOf(other).some(({ operation }) => operation === wait.holder) && leadsBack(next),
    );
  };
  return leadsBack(waits.get(waiter));
}

function lineOf(holder: Holder): Holder[] {
  return [holder, ...holder.enclosing];
}
