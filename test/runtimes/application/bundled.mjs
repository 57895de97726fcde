// node bundled.mjs <directory>: what is in no other program of these, and has a thread or a process of its own.
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { diagnose } from "lancedb-backup";
import { Repository } from "lancedb-backup/repository";
import { roundTrip } from "./round-trip.mjs";

const [, , root = ""] = process.argv;

/** SQLite has a process of ours, and files as large as these are hashed in threads. */
async function companions() {
  const [database, files, back] = ["app.db", "files", "files-back"].map((name) => join(root, name));
  const app = new DatabaseSync(database);
  app.exec("CREATE TABLE ids (id INTEGER PRIMARY KEY); INSERT INTO ids VALUES (7), (8)");
  app.close();
  mkdirSync(files);
  const content = randomBytes(6 << 20);
  for (const name of ["a", "b", "c"]) writeFileSync(join(files, name), content.fill(name, 0, 1));
  const repository = await Repository.init(join(root, "of-companions"));
  const { id } = await repository.backup({ sources: [`sqlite:${database}`, files] });
  await repository.restore(id, {
    targets: [
      { part: "sqlite", target: join(root, "back.db") },
      { part: "files", target: back },
    ],
  });
  const restored = new DatabaseSync(join(root, "back.db"));
  const ids = restored.prepare("SELECT id FROM ids").all();
  restored.close();
  const equal = ["a", "b", "c"].every((name) =>
    readFileSync(join(back, name)).equals(readFileSync(join(files, name))),
  );
  return { ids: ids.map(({ id }) => id), equal };
}

/** Not at the top of the module: CommonJS has no `await` there. */
async function main() {
  const results = { ...(await roundTrip(root)), ...(await companions()) };
  const { findings } = await diagnose({ uri: join(root, "db") });
  const known = findings
    .filter(({ check }) => check === "version")
    .map(({ about, level }) => `${about} ${level}`);
  console.log(JSON.stringify({ ...results, known }));
}

void main();
