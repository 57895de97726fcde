// Writes policy.schema.json, which editors and others check configuration files by.
//
//   npm run policy-schema

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { policySchemaText } from "../src/policy/policy-schema.ts";

writeFileSync(join(import.meta.dirname, "../policy.schema.json"), policySchemaText());
