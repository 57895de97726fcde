/** What users import as `lancedb-backup/kms`; it is in the main module, too. The AWS SDK is an optional peer. */
export { type AwsCredentials, type AwsKmsOptions, awsKms } from "./aws-kms-key.ts";
export type { RepositoryKey } from "./repository-key.ts";
