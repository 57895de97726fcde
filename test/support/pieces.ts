/** What the conformance suite reads, lists and fails by, for other tests. */
export { inPieces, namesBelow, readAll, rejection } from "../../src/storage/conformance/storage-check.ts";
