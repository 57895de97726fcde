import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadPolicies } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";
import { writePolicies } from "../support/policies.ts";

const GUIDE = readFileSync(join(import.meta.dirname, "../../docs/policies.md"), "utf8");

test("each example of a notification in docs/policies.md is one that loads", async () => {
  const examples = [...GUIDE.matchAll(/^```yaml\n(notifications:\n[\s\S]*?)^```$/gm)].map(
    ([, text = ""]) => text,
  );
  const types: string[] = [];
  for (const example of examples) {
    const directory = await newDirectory();
    writeFileSync(join(directory, "mail"), "s3cret");
    const file = writePolicies(directory, {
      defaults: example.replaceAll("/run/secrets/", `${directory}/`).split("\n"),
      policies: "one: { sources: [{ type: lancedb, path: db }] }",
    });
    const set = await loadPolicies(file, {
      SLACK_URL: "https://hooks.slack.com/services/T/B/x",
      HOOK_URL: "https://hooks.example.com/",
      HOOK_SECRET: `whsec_${Buffer.alloc(24).toString("base64")}`,
      PING_URL: "https://hc-ping.com/uuid",
    });
    types.push(...(set.get("one")?.settings.notifications ?? []).map(({ type }) => type));
  }
  expect(types).toEqual(["mail", "slack", "webhook", "ping"]);
});
