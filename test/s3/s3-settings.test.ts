import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { errorAnswer, faultProxy } from "../support/fault-proxy.ts";
import { useS3Server, whyNoS3 } from "../support/s3-server.ts";

const missing = whyNoS3();
if (missing !== undefined) test.skip(`what goes along with an object (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("what goes along with an object", () => {
  const server = useS3Server();

  test("a content whose digest is known is held to it by the store, and nothing is stored of another", async () => {
    const bucket = await server.bucket();
    const storage = await openStorage(server.address(bucket, "vault"), { retry: false });
    const content = randomBytes(1 << 20);
    const sha256 = createHash("sha256").update(content).digest("hex");
    await storage.write("right", content, { sha256 });
    const wrong = storage.write("wrong", content, {
      sha256: sha256.replace(/^./, (x) => (x === "0" ? "1" : "0")),
    });
    await expect(wrong).rejects.toMatchObject({
      code: "IO",
      message: expect.stringMatching(/what arrived is not what was sent.*XAmzContentSHA256Mismatch/),
    });
    expect(await server.keys(bucket)).toEqual(["vault/right"]);
  });

  test("class and encryption are asked for, the class not of small objects", async () => {
    const bucket = await server.bucket();
    // This server has neither a second class nor keys: what is sent is what can be seen.
    const proxy = await faultProxy(server.endpoint, ({ headers }) =>
      headers["x-amz-server-side-encryption"] === undefined ? undefined : errorAnswer(400, "InvalidArgument"),
    );
    const settings = "&storageClass=STANDARD_IA&sse=aws:kms:alias/backup";
    const storage = await openStorage(`${server.address(bucket, "vault", proxy.endpoint)}${settings}`, {
      retry: false,
    });
    for (const bytes of [1000, 200_000]) {
      await expect(storage.write("x", Buffer.alloc(bytes))).rejects.toMatchObject({ code: "IO" });
    }
    const sent = proxy.requests.filter(({ url }) => url.includes("/x")).map(({ headers }) => headers);
    const kms = {
      "x-amz-server-side-encryption": "aws:kms",
      "x-amz-server-side-encryption-aws-kms-key-id": "alias/backup",
    };
    expect(sent).toMatchObject([kms, { ...kms, "x-amz-storage-class": "STANDARD_IA" }]);
    expect(sent[0]).not.toHaveProperty("x-amz-storage-class");
  });

  test("a class that the store does not have is told as what it may be", async () => {
    const address = `${server.address(await server.bucket(), "vault")}&storageClass=NO_SUCH`;
    const storage = await openStorage(address, { retry: false });
    await expect(storage.write("x", Buffer.alloc(200_000))).rejects.toMatchObject({
      message: expect.stringMatching(/storage class|storageClass/),
    });
  });
});
