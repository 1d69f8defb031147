/** Text of strangers for a terminal. Characters that would steer it, change the direction of text, or take no room appear as their numbers. */
export const printable = (text: string) =>
  text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, (character) => {
    const number = character.codePointAt(0) ?? 0;
    return `<U+${number.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
