/** A line that says whether a goal of the benchmark is reached. */
export function goal(what: string, value: number, sense: 'least' | 'most', limit: number): string {
  const reached = sense === 'least' ? value >= limit : value <= limit;
  return `  ${reached ? 'reached' : 'MISSED '}  ${what}: ${short(value)}, goal at ${sense} ${short(limit)}`;
}

const short = (n: number): string =>
  n >= 100 ? Math.round(n).toLocaleString('en') : n.toPrecision(2);
