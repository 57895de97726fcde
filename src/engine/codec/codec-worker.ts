import { parentPort } from "node:worker_threads";
import { ownedBy } from "../../util/free-memory.ts";
import { CODEC_TASKS, type CodecTask } from "./codec-tasks.ts";

export interface CodecMessage {
  readonly name: CodecTask;
  readonly input: { readonly bytes: Uint8Array };
}

/** Of a task that failed: its bytes, as they came. Whoever asked does it once more, and gets the error itself. */
export type CodecAnswer =
  | { readonly ok: true; readonly result: { readonly bytes: Uint8Array } }
  | { readonly ok: false; readonly bytes: Uint8Array };

parentPort?.on("message", async ({ name, input }: CodecMessage) => {
  const answer = await attempt(name, input);
  const { bytes } = answer.ok ? answer.result : answer;
  parentPort?.postMessage(answer, ownedBy(bytes));
});

async function attempt(name: CodecTask, input: CodecMessage["input"]): Promise<CodecAnswer> {
  try {
    const task = CODEC_TASKS[name] as (
      input: unknown,
    ) => Promise<{ bytes: Uint8Array }> | { bytes: Uint8Array };
    return { ok: true, result: await task(input) };
  } catch {
    return { ok: false, bytes: input.bytes };
  }
}
