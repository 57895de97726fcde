import { ConflictError, type ConflictingVersions } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";

// What a ConflictError says: whose commits are in the way, what the tables hold now, and what to do.

/** Guarded work failed in a live process, and could not be rolled back. Its backup is kept. */
export function workConflict(
  found: ConflictError,
  backup: {
    readonly id: string;
    readonly tables: readonly string[];
    /** Tables that the work dropped, and that are there again by what others wrote to them. */
    readonly returned: readonly string[];
  },
  workError: unknown,
): ConflictError {
  const reason = reasonOf(workError);
  const returned =
    backup.returned.length > 0
      ? ` (${backup.returned.join(", ")}: dropped by the work, and back with all that it held, since others have written to it)`
      : "";
  return new ConflictError(
    `The guarded work failed (${reason}), and others have committed meanwhile (${listed(found.conflicts)}): going back would hide that. So nothing was rolled back, and what the work wrote is still in its tables (${backup.tables.join(", ")})${returned}. The backup is ${backup.id}: restoreBackup("${backup.id}") goes back all the same, and their commits stay reachable: by number, or where the table goes again below .lancedb-backup/aside/others; cleanupBackup("${backup.id}") leaves the tables as they are.`,
    found.conflicts,
    { cause: workError },
  );
}

/** What a dead process left could not be rolled back. Its tables are closed to guarded work until that is decided. */
export function recoveryConflict(found: ConflictError, id: string): ConflictError {
  return new ConflictError(
    `The operation ${id} was cut off by the death of its process, and others have committed since (${listed(found.conflicts)}): going back would hide that. So nothing was rolled back, what it wrote is still in its tables, and they are closed to guarded work until you decide: recover({ onConflict: "overwrite" }) goes back all the same, and their commits stay reachable: by number, or where the table goes again below .lancedb-backup/aside/others; recover({ onConflict: "keep" }) leaves the tables as they are and keeps the backup.`,
    found.conflicts,
    { cause: found },
  );
}

function listed(conflicts: readonly ConflictingVersions[]): string {
  return conflicts.map(({ table, versions }) => `table ${table}, version ${versions.join(", ")}`).join("; ");
}
