import type { VerificationResult } from "../../../engine/verify/result.ts";
import type { RestoreTestResult } from "./test-database.ts";

/** What a restore test found, as results of a verification: `restore:<table>` and `restore:<table>/<index>`. */
export function asVerification(
  snapshot: string,
  results: readonly RestoreTestResult[],
): VerificationResult[] {
  return results.map(({ table, index, ok, details, error }) => ({
    snapshot,
    check: `restore:${table}${index === undefined ? "" : `/${index}`}`,
    ok,
    details,
    ...(error && { error }),
  }));
}
