/** What users import as `lancedb-backup/s3`. `Repository.init("s3://…")` needs none of it; the AWS SDK is an optional peer. */
export { formatS3Location, parseS3Location, type S3Location } from "./s3-location.ts";
export { S3Storage } from "./s3-storage.ts";
