/** What users import as `lancedb-backup/page`: a page of a service that runs policies. */

export { newToken, type PageToken, type Role } from "./access-token.ts";
export type { PageOptions } from "./page-options.ts";
export { type ServedPage, servePage } from "./serve-page.ts";
