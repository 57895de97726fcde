import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitepress";

const docs = join(import.meta.dirname, "../..");
const root = join(docs, "..");

/** The groups of docs/README.md: that page and this one cannot differ. */
function sidebar() {
  const groups = [];
  for (const line of readFileSync(join(docs, "README.md"), "utf8").split("\n")) {
    const [, title] = /^\| ([^|[\]]+) \| \|$/.exec(line) ?? [];
    if (title !== undefined) groups.push({ text: `${title[0].toUpperCase()}${title.slice(1)}`, items: [] });
    else if (line.startsWith("| [")) {
      for (const [, text, page] of line.matchAll(/\[([^\]]+)\]\((\w[\w-]*)\.md\)/g)) {
        groups.at(-1)?.items.push({ text, link: `/${page}` });
      }
    }
  }
  groups.push({ text: "Library", items: [{ text: "API", link: "/api/README" }] });
  return groups;
}

const { version, repository } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const home = typeof repository === "string" ? repository : repository?.url;

export default defineConfig({
  title: "lancedb-backup",
  description: "Safe writes and verified backups for LanceDB",
  srcDir: "pages",
  cleanUrls: true,
  lastUpdated: false,
  themeConfig: {
    search: { provider: "local" },
    sidebar: sidebar(),
    outline: [2, 3],
    nav: [
      { text: "Getting started", link: "/getting-started" },
      { text: "Runbook", link: "/runbook" },
      { text: "Errors", link: "/errors" },
      { text: "API", link: "/api/README" },
      { text: version, link: "/formats" },
    ],
    ...(home && { socialLinks: [{ icon: "github", link: home }] }),
    footer: { message: "Apache-2.0" },
  },
});
