import { types } from "node:util";
import type { Data, Decimal } from "apache-arrow";
import { badValue, type Place, show } from "../place.ts";
import { columnData } from "./data.ts";
import { validityOf } from "./validity.ts";

const PLAIN = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/**
 * Decimals, from plain text (`"-12.50"`), a whole `bigint`, a `number` that prints plainly, or the raw
 * little-endian words that LanceDB's rows give back. Digits that the scale or precision cannot hold are refused.
 */
export function encodeDecimals(type: Decimal, values: readonly unknown[], place: Place): Data {
  const stride = type.bitWidth / 32;
  const data = new Uint32Array(values.length * stride);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    if (types.isUint32Array(value) && value.length === stride) {
      data.set(value, index * stride);
      continue;
    }
    const unscaled = unscaledOf(value, type.scale);
    if (unscaled === undefined) {
      throw badValue(
        place,
        index,
        `${show(value)} is not a decimal with ${type.scale} digits after the point`,
      );
    }
    if (abs(unscaled) >= 10n ** BigInt(type.precision)) {
      throw badValue(place, index, `${show(value)} has more digits than the column's ${type.precision}`);
    }
    let rest = BigInt.asUintN(type.bitWidth, unscaled);
    for (let word = 0; word < stride; word++, rest >>= 32n)
      data[index * stride + word] = Number(rest & 0xffff_ffffn);
  }
  return columnData(type, values.length, validityOf(values), { values: data });
}

function unscaledOf(value: unknown, scale: number): bigint | undefined {
  if (typeof value !== "string" && typeof value !== "bigint" && typeof value !== "number") return undefined;
  const parts = PLAIN.exec(String(value));
  if (parts === null) return undefined;
  const [, sign, whole = "", fraction = ""] = parts;
  const significant = fraction.replace(/0+$/, "");
  if (significant.length > scale) return undefined;
  const digits = BigInt(whole + significant.padEnd(scale, "0"));
  return sign === "-" ? -digits : digits;
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}
