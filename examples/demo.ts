// LanceDB writes that go wrong, and come back whole: npm start
//
// Builds a table of 5,000 words and their vectors, then breaks things on purpose. After each disaster the row
// count, the version and the nearest words must be right; the program exits non-zero if they are not.

// LanceDB's own warnings would interrupt the story; this must be set before it is loaded.
process.env["LANCEDB_LOG"] ??= "error";

const { Story } = await import("./demo/story.ts");
const { buildTable, openWords } = await import("./demo/words-table.ts");
const { disasters } = await import("./demo/disasters.ts");

const story = new Story();
const place = await buildTable();
await story.introduce(place, await openWords(place));
for (const disaster of disasters) await story.tell(disaster, place);
process.exitCode = story.end() ? 0 : 1;
