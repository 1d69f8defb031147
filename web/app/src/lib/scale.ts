// The little of SCALE, the encoding of the chain, that receipts need.

/** A whole number in SCALE's compact encoding. */
export function compact(number: number): Uint8Array {
  if (number < 64) return Uint8Array.of(number << 2);
  if (number < 2 ** 14) return Uint8Array.of(((number << 2) & 0xff) | 1, number >> 6);
  const bytes = new Uint8Array(number < 2 ** 30 ? 4 : 5);
  const view = new DataView(bytes.buffer);
  if (number < 2 ** 30) view.setUint32(0, number * 4 + 2, true);
  else {
    view.setUint8(0, 3);
    view.setUint32(1, number, true);
  }
  return bytes;
}

/** A length below 2^30 in SCALE's compact encoding, and the place after it. */
export function readCompact(bytes: Uint8Array, from: number): { length: number; at: number } {
  const mode = (bytes[from] ?? 0) & 3;
  const size = [1, 2, 4][mode];
  if (size === undefined || bytes.length < from + size) throw new RangeError("not a length");
  const number = bytes.subarray(from, from + size).reduceRight((sum, byte) => sum * 256 + byte, 0);
  return { length: Math.floor(number / 4), at: from + size };
}

export const hex = (bytes: Uint8Array) => `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

export const unhex = (text: string) => Uint8Array.from(text.replace(/^0x/, "").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
