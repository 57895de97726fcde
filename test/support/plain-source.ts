import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Capture, CaptureRequest, Entry, Source } from "../../src/engine/source-contract.ts";

/** A user's own source: the files of a plain directory; equal stamps where nobody has written. */
export class PlainSource implements Source {
  readonly type = "plain";
  readonly id: string;
  readonly uri: string;

  constructor(uri: string, id = "plain-1") {
    this.uri = uri;
    this.id = id;
  }

  async capture(_request?: CaptureRequest): Promise<Capture> {
    const files = readdirSync(this.uri).map((path) => ({
      path,
      content: readFileSync(join(this.uri, path)),
      mode: statSync(join(this.uri, path)).mode & 0o777,
    }));
    return {
      capturedAt: new Date(),
      async *entries(): AsyncGenerator<Entry> {
        for (const { path, content, mode } of files) {
          const stamp = `${content.length}:${content.subarray(0, 8).toString("hex")}`;
          const open = async function* () {
            yield content;
          };
          yield { path, size: content.length, stamp, attributes: { mode }, open };
        }
      },
      finish: async () => ({ about: { names: files.length }, details: {} }),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}
