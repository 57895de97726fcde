// Writes two files of one name at once, and prints what became of each.
//
//   node seal-two.ts <path>
import { SealedOutput } from "../../../src/periodic/file/sealed-output.ts";

const path = process.argv[2] ?? "";
const outputs = [await SealedOutput.create(path), await SealedOutput.create(path)];
for (const [index, output] of outputs.entries()) {
  output.push(Buffer.from(`content ${index}`));
  try {
    await output.publish(() => Buffer.alloc(0));
    process.stdout.write(`named ${index}\n`);
  } catch (error) {
    process.stdout.write(`${error instanceof Error ? error.name : error}\n`);
    await output.discard().catch(() => undefined); // its file is closed already
  }
}
