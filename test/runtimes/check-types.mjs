// node check-types.mjs <directory of TypeScript> <JSON>: compiles programs in the working directory, and prints what is wrong
// in them and in the declarations of ours that they load; those of other packages are not looked at. The JSON is a list of
// { program, module, moduleResolution }.
import { createRequire } from "node:module";

const [typescript = "", list = "[]"] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(typescript);

const parsed = new Map();
for (const { program: name, module, moduleResolution } of JSON.parse(list)) {
  const flags = { strict: true, target: "es2022", types: ["node"], module, moduleResolution };
  const { options, errors } = ts.convertCompilerOptionsFromJson(flags, ".");
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (path, version, ...more) => {
    const key = `${path} ${version.impliedNodeFormat}`;
    if (!parsed.has(key)) parsed.set(key, read(path, version, ...more));
    return parsed.get(key);
  };
  const program = ts.createProgram([name], options, host);
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => fileName.endsWith(name) || fileName.includes("/lancedb-backup/"));
  const wrong = ours.flatMap((file) => [
    ...program.getSyntacticDiagnostics(file),
    ...program.getSemanticDiagnostics(file),
  ]);
  for (const { file, messageText } of [...errors, ...program.getOptionsDiagnostics(), ...wrong]) {
    console.log(`${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  }
  if (ours.length < 3) console.log(`${name}: no declarations of ours`);
  // Of this file alone: to emit all, TypeScript checks all that is loaded, for ten times as long.
  program.emit(ours.find(({ fileName }) => fileName.endsWith(name)));
}
