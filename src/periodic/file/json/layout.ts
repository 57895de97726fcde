/**
 * The lines of a JSON file (docs/formats.md):
 *
 * ```
 * {"type":…,"format":1,…,"tables":{
 * "<table>":{…,"rows":[
 * {…},
 * {…}
 * ]},
 * "<table>":{…}
 * },
 * "index":{…},
 * "sha256":"<64 hex digits>"}
 * ```
 */
export const TABLES_START = ',"tables":{';
export const TABLES_END = "\n}";
export const INDEX_START = ',\n"index":';
export const SEAL_START = ',\n"sha256":"';
export const SEAL_END = '"}\n';

export const DIGEST_DIGITS = 64;
