// Its functions by its default export: what is imported by name as `createRequire`, webpack takes for its own.
import modules from "node:module";

/** Where this code lies. A bundle of CommonJS has no `import.meta.url`. */
const here: string | undefined = typeof __filename === "string" ? __filename : import.meta.url;

/**
 * From where a package is looked for: beside this code; where it is in a bundle, beside the program. Never in the directory in which
 * a program happens to run: that is somebody else's.
 */
const places: readonly (string | undefined)[] = [here, process.argv[1]];

/** The path of what `name` names, as `require` would find it; undefined where it is not installed. */
export function resolveHere(name: string): string | undefined {
  for (const place of places) {
    try {
      if (place !== undefined) return requireFrom(place).resolve(name);
    } catch {
      // not beside that
    }
  }
  return undefined;
}

/** Loads a package by `require`, at once. Undefined where it is not installed. */
export function requireHere<Package>(name: string): Package | undefined {
  const path = resolveHere(name);
  return path === undefined ? undefined : requireFrom(path)(path);
}

/** A `require` as the file or the URL `place` would have it. */
export function requireFrom(place: string): NodeJS.Require {
  return modules.createRequire(place);
}
