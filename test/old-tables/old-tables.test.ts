import { describe, test } from "vitest";
import { CHECKS } from "./checks.ts";
import { namesOf, oldDatabase, VERSIONS } from "./fixture.ts";

// Tables that older versions of LanceDB wrote, used with the LanceDB that is installed.

const nightly = process.env["NIGHTLY"] === "1";

describe.each(VERSIONS.filter((version) => !version.includes("by hand")))("tables of %s", (version) => {
  describe.each(CHECKS)("$name", ({ run }) => {
    if (nightly) {
      test.each(namesOf(version))("%s", async (name) => run(await oldDatabase(version, [name])));
    } else {
      test("all at once", async () => run(await oldDatabase(version)));
    }
  });
});
