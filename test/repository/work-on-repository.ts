// A program that does one thing with a repository: `backup`, `delete`, `prune`, `restore` or `in-place`.
import { Repository } from "lancedb-backup";
import { silent } from "../crash/silent.ts";

const [what, location = "", database = "", target = ""] = process.argv.slice(2);
const repository = await Repository.open(location, { logger: silent });
switch (what) {
  case "backup":
    await repository.backup({ source: database, name: "last" });
    break;
  case "delete":
    await repository.delete("first");
    break;
  case "prune":
    await repository.prune({ keepLast: 1, graceHours: 0 });
    break;
  case "restore":
    await repository.restore("first", { target });
    break;
  case "in-place":
    await repository.restore("first", { target: database, mode: "in-place" });
    break;
  default:
    throw new Error(`What is ${what}?`);
}
console.log("done");
