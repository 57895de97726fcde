// A program that backs the database up into the repository, with a time limit for locks in milliseconds, and prints
// how many snapshots there are and which of LanceDB's native libraries it has loaded; or the error's code.
import { Repository } from "../../src/repository/repository.ts";
import { silent } from "../crash/silent.ts";

const [location = "", source = "", lockTimeoutMs] = process.argv.slice(2);

try {
  const repository = await Repository.open(location, { logger: silent });
  const { id } = await repository.backup({ source, lockTimeoutMs: Number(lockTimeoutMs) });
  await repository.get(id);
  const snapshots = (await repository.list()).length;
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
  console.log(
    JSON.stringify({ snapshots, native: sharedObjects.filter((path) => path.includes("lancedb")) }),
  );
} catch (error) {
  console.log(error instanceof Error && "code" in error ? error.code : error);
}
