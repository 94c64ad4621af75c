// SVG as text: elements, escaping, and how much room a text takes where no font can be asked.

const kEntities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
/** A cautious average of a sans-serif face, in parts of the font's size: too much room looks better than clipped text. */
const kGlyphWidth = 0.58;

/** Characters that XML 1.0 does not have at all, escaped or not, are dropped. @param {unknown} text */
export function escapeXml(text) {
  return Array.from(String(text))
    .filter((character) => /^[\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]$/u.test(character))
    .map((character) => kEntities[/** @type {keyof typeof kEntities} */ (character)] ?? character)
    .join('');
}

/** Two decimals are a hundredth of a pixel; fewer digits make files that differ only where the figures do. */
const attribute = (/** @type {string | number} */ value) => (typeof value === 'number' ? Number(value.toFixed(2)) : escapeXml(value));

/**
 * @param {string} name
 * @param {Record<string, string | number | undefined>} attributes those that are undefined are left out
 * @param {string} [content] markup, escaped already
 */
export function element(name, attributes, content) {
  const written = Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key}="${attribute(value)}"`],
  );
  return content === undefined ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${content}</${name}>`;
}

/**
 * @param {string} text
 * @param {Record<string, string | number | undefined>} attributes
 */
export const textElement = (text, attributes) => element('text', attributes, escapeXml(text));

/** @param {string} text @param {number} size */
export const textWidth = (text, size) => text.length * size * kGlyphWidth;

/**
 * Lines no wider than asked for, as far as words allow it; what is left after the last allowed line ends in dots.
 * @param {string} text
 * @param {{ width: number, size: number, lines: number }} room
 */
export function wrapText(text, { width, size, lines: most }) {
  const fits = (/** @type {string} */ part) => textWidth(part, size) <= width;
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const longer = lines.length === 0 ? word : `${lines[lines.length - 1]} ${word}`;
    if (lines.length > 0 && fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  const isCut = lines.length > most;
  return lines.slice(0, most).map((line, index) => {
    const whole = isCut && index === most - 1 ? `${line} …` : line;
    return fits(whole) ? whole : `${line.slice(0, Math.max(1, Math.floor(width / size / kGlyphWidth) - 1))}…`;
  });
}

/**
 * Places text in rows, as a legend does.
 * @param {string[]} texts
 * @param {{ width: number, size: number, gap: number }} room gap: before and after each text
 * @returns {{ x: number, row: number }[]}
 */
export function flow(texts, { width, size, gap }) {
  let x = 0;
  let row = 0;
  return texts.map((text) => {
    const needed = textWidth(text, size) + gap;
    if (x > 0 && x + needed > width) {
      x = 0;
      row += 1;
    }
    const place = { x, row };
    x += needed;
    return place;
  });
}
