/** What somebody may have meant. */

/** ` (did you mean K11, K12?)` for the words nearest to one that is none of them; else nothing. */
export function didYouMean(word: string, words: readonly string[]): string {
  const bare = (text: string) => text.toLowerCase();
  const most = word.length < 4 ? 1 : 2;
  const near = words
    .map((known) => ({ known, far: distance(bare(word), bare(known)) }))
    .filter(({ far }) => far <= most)
    .sort((a, b) => a.far - b.far);
  const nearest = near.filter(({ far }) => far === near[0].far).map(({ known }) => known);
  return nearest.length === 0 ? '' : ` (did you mean ${nearest.slice(0, 3).join(', ')}?)`;
}

/** How many letters must be put in, left out or replaced: Levenshtein's distance. */
function distance(a: string, b: string): number {
  if (a.length > 100 || b.length > 100) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, replaced));
    }
    row = next;
  }
  return row[b.length];
}
