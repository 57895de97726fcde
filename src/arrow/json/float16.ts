/** The value of a float16 by its bits. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The bits of the float16 nearest to a double that is not NaN; of two as near, the even one. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  const exponent = exponentOf(size);
  return sign | (((exponent + 14) << 10) + roundToEven(size * 2 ** (10 - exponent)));
}

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

function exponentOf(size: number): number {
  double[0] = size;
  return (((words[1] ?? 0) >>> 20) & 0x7ff) - 1023;
}

function roundToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

const numbers: number[] = [];

/** A double of the fewest digits that gives a finite float16 back; there are few of them, so they are remembered. */
export function halfNumber(bits: number): number {
  const known = numbers[bits];
  if (known !== undefined) return known;
  const value = halfValue(bits);
  let number = value;
  for (let precision = 1; precision < 6; precision++) {
    const short = Number(value.toPrecision(precision));
    if (halfBits(short) === bits) {
      number = short;
      break;
    }
  }
  numbers[bits] = number;
  return number;
}
