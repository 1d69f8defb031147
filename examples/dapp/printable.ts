/** Text of strangers for a terminal: what would steer it, turn the direction of what follows, or take no room, as its number. */
export const printable = (text: string) =>
  text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, (character) => {
    const number = character.codePointAt(0) ?? 0;
    return `<U+${number.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
