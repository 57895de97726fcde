import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeSnapshot, decodeSummary } from "../../../src/engine/format/decode-snapshot.ts";
import { CorruptError, UnsupportedError } from "../../../src/errors.ts";
import { contentView, viewOf } from "../../../src/sources/lancedb/snapshot-view.ts";
import { digestOf, documentOf, makeSnapshot } from "../fixture.ts";
import { assertSound } from "./assert-sound.ts";
import { type Document, seal, sealRaw, sealText, unseal } from "./seal.ts";

const numRuns = process.env["NIGHTLY"] === "1" ? 20_000 : 400;

const sample = makeSnapshot({
  at: "2026-11-05T12:34:56.789Z",
  name: "nightly",
  tags: ["a", "b"],
  tables: {
    "words.lance": { "_versions/1.manifest": "m", "data/a.lance": "aaa", "data/b.lance": "bb" },
    "docs.lance": { "_indices/x/part": "p", "data/c.lance": "" },
  },
});
const ID = sample.snapshot.id;
const DOCUMENT = documentOf(sample);

const decode = (bytes: Uint8Array) => decodeSnapshot(bytes, ID, "here");
const firstLine = (bytes: Buffer) => bytes.subarray(0, bytes.indexOf("\n")).toString();

/** Whether it was accepted; fails for any error but those that are promised. */
function accepted(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
    expect(error.message).toContain("here");
    return false;
  }
}

describe("documents that were made by us", () => {
  const contents = fc.dictionary(
    fc
      .string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(..."abcXYZ019_-.é") })
      .filter((n) => !n.startsWith(".")),
    fc.dictionary(
      fc
        .array(fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom(..."abc01_") }), {
          minLength: 1,
          maxLength: 3,
        })
        .map((parts) => parts.join("/")),
      fc.string({ maxLength: 5 }),
      { maxKeys: 8 },
    ),
    { maxKeys: 5 },
  );

  /** Names that a document may hold side by side, by a rule of its own: told by every prefix. */
  const areApart = (names: readonly string[]) => {
    const folded = names.map((name) => name.normalize("NFC").toLowerCase());
    const spelling = new Map<string, string>();
    return names.every((name, index) => {
      if (folded.indexOf(folded[index]!) !== index) return false;
      if (folded.some((other) => other.startsWith(`${folded[index]}/`))) return false;
      return name.split("/").every((_, depth, parts) => {
        const folder = parts.slice(0, depth).join("/");
        const known = spelling.get(folder.toLowerCase()) ?? folder;
        spelling.set(folder.toLowerCase(), known);
        return known === folder;
      });
    });
  };

  test("are read as they were, and their first lines too", () => {
    fc.assert(
      fc.property(contents, fc.string(), fc.array(fc.string()), (tables, uri, tags) => {
        fc.pre(areApart(Object.keys(tables)));
        fc.pre(Object.values(tables).every((files) => areApart(Object.keys(files))));
        const made = makeSnapshot({ at: 1.7e12, uri, tags, tables });
        const document = documentOf(made);
        const read = contentView(decodeSnapshot(document, made.snapshot.id, "here"));
        expect(read.snapshot).toEqual(made.snapshot);
        expect([...read.files]).toEqual([...made.files]);
        const { checksum, tables: details, ...summary } = made.snapshot;
        expect(viewOf(decodeSummary(firstLine(document), made.snapshot.id, "here"))).toEqual({
          ...summary,
          tables: details.map(({ versions, ...table }) => table),
        });
      }),
      { numRuns },
    );
  });
});

describe("damage", () => {
  test("a document that is cut anywhere is refused", () => {
    for (let length = 0; length < DOCUMENT.length; length++) {
      expect(accepted(() => decode(DOCUMENT.subarray(0, length)))).toBe(false);
    }
  });

  test("a flip of any bit is refused", () => {
    for (let bit = 0; bit < DOCUMENT.length * 8; bit += process.env["NIGHTLY"] === "1" ? 1 : 5) {
      const flipped = Buffer.from(DOCUMENT);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(accepted(() => decode(flipped))).toBe(false);
    }
  });

  test("bytes put in, taken out, or written over are refused", () => {
    const place = fc.nat({ max: DOCUMENT.length });
    fc.assert(
      fc.property(place, fc.nat({ max: 50 }), fc.uint8Array({ maxLength: 50 }), (at, out, put) => {
        const edited = Buffer.concat([DOCUMENT.subarray(0, at), put, DOCUMENT.subarray(at + out)]);
        fc.pre(!edited.equals(DOCUMENT));
        expect(accepted(() => decode(edited))).toBe(false);
        accepted(() => decodeSummary(firstLine(edited), ID, "here"));
      }),
      { numRuns },
    );
  });

  test("anything at all is refused, and by the right errors", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(accepted(() => decode(bytes))).toBe(false);
          expect(accepted(() => decode(sealText(Buffer.from(bytes))))).toBe(false);
          expect(accepted(() => decodeSummary(Buffer.from(bytes).toString(), ID, "here"))).toBe(false);
        },
      ),
      { numRuns },
    );
  });
});

describe("documents that somebody hostile has sealed", () => {
  const edits: Record<string, (document: Document) => void> = {};
  const path = (value: unknown) => (document: Document) => {
    (document.content["words.lance"]!.files[1] as unknown[])[0] = value;
  };
  for (const value of [
    ...[
      "../x",
      "a/../../x",
      "/etc/passwd",
      "a//b",
      "./a",
      "a/.",
      "",
      ".",
      "..",
      "a\\b",
      "C:a",
      "c:/x",
      "a\0b",
      "data/",
    ],
    ...["data/B.lance", "DATA/x", "data/b.lance/x", "data", "_versions/1.manifest"],
    ...[1, null, true, [], {}, "\\\\server\\share"],
  ]) {
    edits[`a path ${JSON.stringify(value)}`] = path(value);
  }
  for (const value of [
    "..",
    ".",
    "",
    "a/b",
    "/abs",
    "a\\b",
    "C:x",
    "docs.LANCE",
    "docs.lance",
    "a\0",
    7,
    null,
    "x:y",
  ]) {
    edits[`a directory ${JSON.stringify(value)}`] = (document) => {
      const table = document.content["words.lance"]!;
      document.summary.tables[0]!["directory"] = value;
      document.content = { [String(value)]: table, "docs.lance": document.content["docs.lance"]! };
    };
  }
  for (const value of ["", ".", "../../escaped", "docs", "words.lance", "Words", 7, null]) {
    edits[`a table ${JSON.stringify(value)} in the directory of another`] = (document) => {
      document.summary.tables[0]!["id"] = value;
    };
  }
  for (const [id, directory] of [
    [".hidden", ".hidden"],
    [".lancedb-backup", ".lancedb-backup"],
    ["", ".lance"],
    [".", "..lance"],
  ] as const) {
    edits[`a table ${JSON.stringify(id)} in ${directory}`] = (document) => {
      const table = document.content["words.lance"]!;
      Object.assign(document.summary.tables[0]!, { id, directory });
      document.content = { [directory]: table, "docs.lance": document.content["docs.lance"]! };
    };
  }
  for (const value of [-1, 1.5, 2 ** 53, 1e308, "1", null, true, [3], {}]) {
    edits[`a size ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[1] = value;
    };
    edits[`an inode ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[3] = value;
    };
    edits[`a version ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.versions[0] as unknown[])[0] = value;
      document.summary.tables[0]!["version"] = value;
    };
    for (const key of ["files", "bytes", "rows", "newFiles", "newBytes"]) {
      edits[`${key} ${JSON.stringify(value)} in the summary`] = (document) => {
        document.summary[key] = value;
      };
    }
  }
  for (const value of [null, "2026", {}, 1e300, []]) {
    edits[`a time of change ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[4] = value === 1e300 ? "1e300" : value;
    };
  }
  for (const value of [9e15, "x", true, {}]) {
    edits[`a version's time ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.versions[0] as unknown[])[1] = value;
    };
  }
  for (const value of ["", "A".repeat(64), "a".repeat(63), `${"a".repeat(63)}/`, "../".repeat(21), null, 1]) {
    edits[`a digest ${JSON.stringify(value)}`] = (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[2] = value;
    };
    edits[`a table's digest ${JSON.stringify(value)}`] = (document) => {
      document.summary.tables[0]!["digest"] = value;
    };
  }
  for (const value of [
    "2026-11-05",
    "yesterday",
    "2026-11-05T12:34:56Z",
    "2026-13-05T12:34:56.789Z",
    1,
    null,
  ]) {
    edits[`createdAt ${JSON.stringify(value)}`] = (document) => {
      document.summary["createdAt"] = value;
    };
  }
  for (const value of [0, -1, "1", null, 1.5, [1], undefined]) {
    edits[`format ${JSON.stringify(value)}`] = (document) => {
      document.format = value ?? null;
    };
  }
  Object.assign(edits, {
    "another id": (document) => {
      document.summary["id"] = "20260101T000000Z-00000000";
    },
    "a file twice": (document) => {
      const { files } = document.content["words.lance"]!;
      files[2] = files[1];
    },
    "a file more than it counts": (document) => {
      document.content["words.lance"]!.files.push(["data/z", 0, digestOf(""), 1, 1]);
    },
    "a file that is no list": (document) => {
      document.content["words.lance"]!.files[0] = { 0: "a", 1: 1 };
    },
    "sizes that do not add up": (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[1] = 4;
    },
    "no versions": (document) => {
      document.content["words.lance"]!.versions = [];
      document.summary.tables[0]!["versionCount"] = 0;
    },
    "versions that go down": (document) => {
      document.content["words.lance"]!.versions = [
        [4, null, 1],
        [3, null, 10],
      ];
      document.summary.tables[0]!["versionCount"] = 2;
    },
    "a version twice": (document) => {
      document.content["words.lance"]!.versions = [
        [3, null, 10],
        [3, null, 10],
      ];
      document.summary.tables[0]!["versionCount"] = 2;
    },
    "content of a table that it does not name": (document) => {
      document.content["more.lance"] = { versions: [], files: [] };
    },
    "no content of a table": (document) => {
      delete document.content["docs.lance"];
    },
    "content under __proto__": (document) => {
      const table = document.content["words.lance"]!;
      document.content = JSON.parse(`{"__proto__":${JSON.stringify(table)}}`) as Document["content"];
      Object.defineProperty(document.content, "docs.lance", { value: table, enumerable: true });
    },
    "no content": (document) => {
      document.content = null as never;
    },
    "tables that are no list": (document) => {
      document.summary["tables"] = { length: 2 } as never;
    },
    "no source": (document) => {
      delete document.summary["source"];
    },
    "a source without an id": (document) => {
      document.summary["source"] = { type: "lancedb", uri: "/", host: "h" };
    },
    "a source with an empty id": (document) => {
      document.summary["source"] = { type: "lancedb", id: "", uri: "/", host: "h" };
    },
    "a source of no type": (document) => {
      document.summary["source"] = { ...(document.summary["source"] as object), type: "" };
    },
    "the id of another source": (document) => {
      document.summary["source"] = { ...(document.summary["source"] as object), id: "another" };
    },
    "an entry in a blob that is not listed": (document) => {
      (document.content["words.lance"]!.files[1] as unknown[])[5] = [[0, 0, 3]];
    },
    "an entry beyond the end of its blob": (document) => {
      document.blobs = [["a".repeat(64), 2]];
      (document.content["words.lance"]!.files[1] as unknown[])[5] = [[0, 0, 3]];
    },
    "pieces that do not make up the size": (document) => {
      document.blobs = [["a".repeat(64), 9]];
      (document.content["words.lance"]!.files[1] as unknown[])[5] = [[0, 0, 2]];
    },
    "an empty piece": (document) => {
      document.blobs = [["a".repeat(64), 9]];
      (document.content["words.lance"]!.files[1] as unknown[])[5] = [
        [0, 0, 3],
        [0, 3, 0],
      ];
    },
    "a blob twice": (document) => {
      document.blobs = [
        ["a".repeat(64), 9],
        ["a".repeat(64), 9],
      ];
    },
    "a blob whose name climbs": (document) => {
      document.blobs = [["../".repeat(21), 9]];
    },
    "a blob of less than no bytes": (document) => {
      document.blobs = [["a".repeat(64), -1]];
    },
    "attributes, which files of tables do not have": (document) => {
      const file = document.content["words.lance"]!.files[1] as unknown[];
      file[5] = null;
      file[6] = { mode: 0o644 };
    },
    "tags that are no texts": (document) => {
      document.summary["tags"] = [1];
    },
    "the name of an object's method as a directory": (document) => {
      document.summary.tables[0]!["directory"] = "toString";
    },
  } satisfies typeof edits);

  test("as it was, it is accepted", () => {
    expect(accepted(() => decode(seal(unseal(DOCUMENT))))).toBe(true);
  });

  test.each(Object.keys(edits))("with %s are refused", (name) => {
    const document = unseal(DOCUMENT);
    edits[name]!(document);
    expect(accepted(() => decode(seal(document)))).toBe(false);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "0", "10"])(
    "a table may be called %s",
    (name) => {
      const tables = JSON.parse(`{"${name}":{"data/a":"a"},"9":{"__proto__":"b","constructor":"c"},"z":{}}`);
      const made = makeSnapshot({ at: 1.7e12, tables });
      const read = contentView(decodeSnapshot(documentOf(made), made.snapshot.id, "here"));
      expect([...read.files]).toEqual([...made.files]);
      expect(Object.getPrototypeOf(read.snapshot)).toBe(Object.prototype);
      expect(({} as Record<string, unknown>)["data/a"]).toBeUndefined();
    },
  );

  test("tables may stand in any order, though JavaScript puts names of digits first", () => {
    const { snapshot, files } = makeSnapshot({ at: 1.7e12, tables: { "1": { a: "a" }, z: { b: "b" } } });
    const turned = { snapshot: { ...snapshot, tables: snapshot.tables.toReversed() }, files };
    const read = contentView(decodeSnapshot(documentOf(turned), snapshot.id, "here"));
    expect(read.snapshot.tables.map(({ directory }) => directory)).toEqual(["z", "1"]);
    expect([...read.files.keys()]).toEqual(["z", "1"]);
  });

  test("a first line that says something else than the document is refused", () => {
    const { format, summary, parts } = JSON.parse(DOCUMENT.toString());
    const other = { ...summary, name: "innocent" };
    const text = `{"format":${format},"summary":${JSON.stringify(other)},"parts":[\n],"summary":${JSON.stringify(summary)},"parts":${JSON.stringify(parts)},\n"sha256":"`;
    expect(accepted(() => decode(sealText(text)))).toBe(false);
  });

  test("members that a newer version may add are passed over", () => {
    const document = unseal(DOCUMENT);
    document.summary["added"] = { deep: [1] };
    (document.content["words.lance"] as Record<string, unknown>)["added"] = 1;
    document["added"] = 1;
    expect(decode(seal(document)).snapshot.name).toBe("nightly");
  });

  test("nesting of any depth is refused, not a stack overflow", () => {
    for (const depth of [1000, 200_000]) {
      const deep = "[".repeat(depth) + "]".repeat(depth);
      for (const body of [
        `{"format":${deep}`,
        `{"format":2,"summary":${deep}`,
        `{"format":2,"summary":{"id":${deep}}`,
      ]) {
        expect(accepted(() => decode(sealText(`${body},"parts":[\n],"sha256":"`)))).toBe(false);
        expect(accepted(() => decodeSummary(`${body},"parts":[`, ID, "here"))).toBe(false);
      }
      const text = DOCUMENT.toString("utf8", 0, DOCUMENT.length - 67).replace("[3,", `[${deep},`);
      expect(accepted(() => decode(sealText(text)))).toBe(false);
    }
  });

  test("any one value put in place of any other: what is accepted keeps every rule", () => {
    const hostile = fc.oneof(
      fc.constantFrom<unknown>(
        null,
        true,
        -1,
        -0,
        0,
        1.5,
        2 ** 53,
        1e308,
        "",
        "..",
        "../x",
        "a/b",
        "__proto__",
        [],
        {},
      ),
      fc.jsonValue(),
      fc.string(),
      fc.integer(),
    );
    fc.assert(
      fc.property(fc.nat(), hostile, (pick, value) => {
        const document = JSON.parse(DOCUMENT.toString());
        const places: (() => void)[] = [];
        const visit = (node: unknown) => {
          if (typeof node !== "object" || node === null) return;
          for (const key of Object.keys(node)) {
            places.push(() => Reflect.set(node, key, value));
            visit(Reflect.get(node, key));
          }
        };
        visit(document);
        places[pick % places.length]!();
        const sealed = sealRaw(document);
        if (accepted(() => decode(sealed))) assertSound(decode(sealed), ID);
        accepted(() => decodeSummary(firstLine(sealed), ID, "here"));
      }),
      { numRuns: numRuns * 5 },
    );
  });
});
