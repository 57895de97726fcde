// Copies the project's pages to where VitePress reads them, pages/. Links to files that are no pages lead to the repository,
// or are words where package.json names none.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, normalize } from "node:path";

const docs = join(import.meta.dirname, "..");
const pages = join(import.meta.dirname, "pages");
const { repository } = JSON.parse(readFileSync(join(docs, "../package.json"), "utf8"));
const home = (typeof repository === "string" ? repository : repository?.url)?.replace(/^git\+|\.git$/g, "");

const names = readdirSync(docs).filter((name) => name.endsWith(".md"));
const pageOf = (name) => (name === "README.md" ? "index.md" : name);

/** Where a link of a page leads on the site. */
function moved(whole, text, target) {
  if (/^[a-z]+:|^#/.test(target)) return whole;
  const [path, anchor] = target.split("#");
  const at = normalize(path);
  if (names.includes(at)) return `[${text}](./${pageOf(at)}${anchor ? `#${anchor}` : ""})`;
  if (at.startsWith("images/")) return whole;
  return home ? `[${text}](${home}/blob/main/${normalize(join("docs", path))})` : text;
}

rmSync(pages, { recursive: true, force: true });
mkdirSync(pages, { recursive: true });
for (const name of names) {
  let isCode = false;
  const lines = readFileSync(join(docs, name), "utf8")
    .split("\n")
    .map((line) => {
      if (/^\s*```/.test(line)) isCode = !isCode;
      if (isCode) return line;
      // Outside of code `{{` and tags are Vue's, and text here.
      const parts = line
        .split(/(`[^`]*`)/)
        .map((part) => (part.startsWith("`") ? part : part.replaceAll("{{", "&#123;&#123;")));
      return parts.join("").replaceAll(/\[([^\]]*)\]\(([^()\s]+)\)/g, moved);
    });
  writeFileSync(join(pages, pageOf(name)), lines.join("\n"));
}
cpSync(join(docs, "images"), join(pages, "images"), { recursive: true });
