import { Problem } from "../problem.ts";

/** A decimal's unscaled number, from its `width` bytes at `at`, little-endian. */
export function unscaledAt(view: DataView, at: number, width: number): bigint {
  if (width === 4) return BigInt(view.getInt32(at, true));
  let value = view.getBigInt64(at + width - 8, true);
  for (let word = width - 16; word >= 0; word -= 8)
    value = (value << 64n) | view.getBigUint64(at + word, true);
  return value;
}

export function setUnscaled(view: DataView, at: number, width: number, value: bigint): void {
  if (BigInt.asIntN(width * 8, value) !== value) throw new Problem(`${value} does not fit ${width * 8} bits`);
  if (width === 4) view.setInt32(at, Number(value), true);
  for (let word = 0; word + 8 <= width; word += 8) {
    view.setBigUint64(at + word, BigInt.asUintN(64, value >> BigInt(8 * word)), true);
  }
}

/** `-12.50` for -1250 of scale 2; `12000` for 12 of scale -3. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale <= 0) return unscaled === 0n ? "0" : `${unscaled}${"0".repeat(-scale)}`;
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, "0");
  return `${negative ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

export function parseDecimal(text: string, scale: number): bigint {
  const match = text.length <= 1200 ? /^(-?\d+)(?:\.(\d+))?$/.exec(text) : null;
  const [, whole = "", part = ""] = match ?? [];
  if (match === null || part.length !== Math.max(scale, 0))
    throw new Problem(`${JSON.stringify(text.slice(0, 80))} is no decimal of scale ${scale}`);
  const value = BigInt(whole + part);
  if (scale >= 0) return value;
  const factor = 10n ** BigInt(-scale);
  if (value % factor !== 0n)
    throw new Problem(`${JSON.stringify(text.slice(0, 80))} is no decimal of scale ${scale}`);
  return value / factor;
}
