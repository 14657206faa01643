/** How numbers of classes are written. */

/** `about 12,400 ± 300`, `about 2.13e+20 ± 1.10e+18` */
export function aboutText(mean: number, plusMinus: number): string {
  if (mean === Infinity) return 'more than 1e+308';
  if (plusMinus === Infinity) return 'an unknown number of';
  const n = (value: number) =>
    mean < 1e15 ? Math.round(value).toLocaleString('en') : value.toExponential(value === 0 ? 0 : 2);
  return `about ${n(mean)} ± ${n(plusMinus)}`;
}

/** `31 %`: two digits; 100 % only for all. */
export function percent(share: number): string {
  if (share >= 1) return '100 %';
  if (share >= 0.995) return 'over 99 %';
  if (share > 0 && share < 0.0001) return 'under 0.01 %';
  return `${Number((100 * share).toPrecision(2))} %`;
}
