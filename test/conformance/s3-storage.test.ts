import { describe, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";
import { describeStorage } from "./storage-suite.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`S3Storage (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("S3Storage", () => {
  const server = useS3Server();

  describeStorage("in a whole bucket", async () => openStorage(server.address(await server.bucket())));

  describeStorage("below a prefix", async () => {
    const bucket = await server.bucket();
    const others = await openStorage(server.address(bucket, "a/bc"));
    await others.write("others", Buffer.from("x"));
    return openStorage(server.address(bucket, "a/b"));
  });
});
