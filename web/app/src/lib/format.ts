// Numbers, amounts and strangers' text for people.

/** Units in one POQ. */
const POQ = 10n ** 12n;
const DIGITS = 12;

/** An amount with as few digits as say it exactly: `1.234 POQ`. */
export function exact(units: bigint): string {
  const rest = String(units % POQ).padStart(DIGITS, "0").replace(/0+$/, "");
  return `${grouped(units / POQ)}${rest && `.${rest}`} POQ`;
}

/** An amount with at most six digits after the point, rounded down. A positive amount is never shown as zero. */
export function amount(units: bigint): string {
  if (units > 0n && units < 10n ** 6n) return exact(units);
  return exact(units - (units % 10n ** 6n));
}

/** Units of `1.234` or `1.234 POQ`; `undefined` for anything else. */
export function parseAmount(text: string): bigint | undefined {
  const match = /^(\d{1,15})(?:\.(\d{0,12}))?\s*(?:POQ)?$/i.exec(text.trim());
  if (!match) return undefined;
  return BigInt(match[1]!) * POQ + BigInt((match[2] ?? "").padEnd(DIGITS, "0"));
}

/** A whole number with a comma between groups of three digits. */
export const grouped = (number: bigint | number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

/** Millionths as a number with three digits. */
export const part = (parts: number) => (parts / 1e6).toFixed(3);

/** Millionths as a percentage with one digit. */
export const percent = (parts: number) => `${(parts / 1e4).toFixed(1)}%`;

/** Units of 10^-9 as a factor. */
export const factor = (units: bigint) => String(Number(units) / 1e9);

/** Both ends of an address or a hash. */
export const shortened = (id: string) => (id.length > 14 ? `${id.slice(0, 6)}…${id.slice(-5)}` : id);

/** A time span in words: `40 s`, `3 min`, `2 h`, `4 days`. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** Shares of a whole in tenths of a percent that sum to 100%; `undefined` for a whole of zero. */
export function shares(weights: bigint[]): number[] | undefined {
  const sum = weights.reduce((all, weight) => all + weight, 0n);
  return sum === 0n ? undefined : weights.map((weight) => Number((weight * 1_000_000n) / sum));
}

/**
 * Text of strangers. Characters that change the direction of text, control something, or take no room appear as their numbers. The rule
 * is that of examples/dapp/printable.ts.
 */
export const printable = (text: string) => text.replace(HIDDEN, (character) => `<${codePoint(character)}>`);

const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu;

const codePoint = (character: string) => `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

/** The same in pieces: what is visible as it is, and each other character as its number. */
export function pieces(text: string): { text: string; isHidden: boolean }[] {
  const visible = text.split(HIDDEN);
  const hidden = text.match(HIDDEN) ?? [];
  return visible.flatMap((text, index) => {
    const next = hidden[index];
    const number = next === undefined ? [] : [{ text: codePoint(next), isHidden: true }];
    return [...(text ? [{ text, isHidden: false }] : []), ...number];
  });
}

/** The first characters of a text, on one line. It may still hold hidden characters. */
export function excerpt(text: string, length: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : line;
}

/** UTF-8 bytes of the chain as text. */
export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
