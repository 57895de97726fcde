import type { Data } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { columnData } from "./encode/data.ts";

/**
 * The column in a form that apache-arrow writes whole. For booleans that are all null it leaves the values
 * out, and LanceDB refuses the batch; as bytes, which take the same place in the file, it writes them.
 */
export function writable(data: Data): Data {
  if (arrow.DataType.isBool(data.type) && data.length > 0 && data.nullCount === data.length) {
    const validity = { nullCount: data.nullCount, nullBitmap: data.nullBitmap };
    return columnData(new arrow.Uint8(), data.length, validity, { values: new Uint8Array(data.length) });
  }
  if (data.children.length === 0) return data;
  const children = data.children.map(writable);
  if (children.every((child, index) => child === data.children[index])) return data;
  return data.clone(data.type, data.offset, data.length, data.nullCount, data as never, children);
}
