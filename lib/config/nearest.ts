/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, beforePrevious[column - 2]! + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}

// Kamailio's async_workers and our asyncWorkers are the same word in two spellings.
function spelling(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, '');
}

/**
 * The right name that a misspelt one most likely stood for, or `null` when none is near: at most a third of its
 * letters may differ.
 */
export function nearestName(misspelt: string, names: Iterable<string>): string | null {
  const word = spelling(misspelt);
  let nearest: string | null = null;
  let leastEdits = Infinity;
  for (const name of names) {
    const candidate = spelling(name);
    const allowedEdits = Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3));
    // Cheaper than the distance, and it bounds the work for a key that is thousands of letters long.
    if (Math.abs(word.length - candidate.length) > allowedEdits) continue;
    const edits = editDistance(word, candidate);
    if (edits <= allowedEdits && edits < leastEdits && edits < candidate.length) {
      nearest = name;
      leastEdits = edits;
    }
  }
  return nearest;
}

/** `, did you mean asyncWorkers?`, or nothing when no name is near. */
export function didYouMean(misspelt: string, names: Iterable<string>): string {
  const name = nearestName(misspelt, names);
  return name === null ? '' : `, did you mean ${name}?`;
}
