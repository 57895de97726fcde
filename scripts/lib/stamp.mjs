// A stamp is a file that holds the digest of what an install or a build was made from. It lies inside what it
// speaks of (node_modules, dist), so that whoever removes that removes the stamp with it.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "./project.mjs";

/**
 * The digest of named parts. A part that is undefined (no such file) differs from an empty one.
 *
 * @param {Record<string, string | Buffer | undefined>} parts
 */
export function digest(parts) {
  const hash = createHash("sha256");
  for (const name of Object.keys(parts).sort()) {
    const content = parts[name];
    hash.update(`${name}\0${content === undefined ? "absent" : Buffer.byteLength(content)}\0`);
    if (content !== undefined) hash.update(content);
  }
  return hash.digest("hex");
}

/** @param {string} path */
export function readIfPresent(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

/**
 * Every file under a directory with its content, by its path in the project.
 *
 * @param {string} directory
 */
export function readTree(directory) {
  /** @type {Record<string, Buffer | undefined>} */
  const files = {};
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    files[relative(root, path)] = readIfPresent(path);
  }
  return files;
}

/** @param {string} path @param {string} value */
export const hasStamp = (path, value) => readIfPresent(path)?.toString() === value;

/** @param {string} path @param {string} value */
export const writeStamp = (path, value) => writeFileSync(path, value);
