import { describe, expect, test } from 'vitest';
import { leftText, TimeLeft } from '../../../src/cli/time-left.js';

/** What is told at every step of work that takes `total` ms, with the time that really is left. */
function told(share: (part: number) => number, total = 100_000) {
  const left = new TimeLeft();
  return Array.from({ length: 200 }, (_, i) => {
    const ms = (total * i) / 200;
    return { really: total - ms, left: left.update(ms, share(i / 200)) };
  });
}

describe('time left', () => {
  test.each([
    ['even', (part: number) => part],
    ['with pauses', (part: number) => Math.floor(part * 20) / 20],
    ['slower and slower', (part: number) => part ** 0.8],
  ])('%s work is forecast from early on', (_, share) => {
    const all = told(share);
    const early = all.slice(40, 180);
    expect(early.filter(({ left }) => left === undefined).length).toBeLessThan(20);
    for (const { really, left } of early) {
      if (left === undefined) continue;
      expect(left.ms / really).toBeGreaterThan(0.4);
      expect(left.ms / really).toBeLessThan(2);
    }
  });

  test.each([
    ['a share that rises at the end only', (part: number) => part ** 12],
    ['a jump', (part: number) => (part < 0.7 ? 0.001 : part)],
    ['none at all', () => 0],
  ])('%s: nothing is told', (_, share) => {
    expect(told(share).filter(({ left }) => left !== undefined)).toEqual([]);
  });

  test('of like pieces the pace of late counts', () => {
    // Ten times as fast from the tenth second on.
    const done = (ms: number) => (ms < 10_000 ? ms : 10_000 + 10 * (ms - 10_000)) / 1e6;
    const even = new TimeLeft(true);
    const wary = new TimeLeft();
    for (let ms = 100; ms < 109_000; ms += 100) {
      const left = even.update(ms, done(ms));
      const doubted = wary.update(ms, done(ms));
      if (ms > 10_000 && ms < 20_000) expect(doubted).toBeUndefined();
      if (ms > 30_000 && ms < 100_000) expect(left!.ms / (109_000 - ms)).toBeCloseTo(1, 0);
    }
  });

  test('the share never falls', () => {
    const left = new TimeLeft();
    let last = 0;
    for (let i = 1; i < 400; i++) {
      const share = left.update(i * 1000, i / 400 + (i % 2) / 20)?.share ?? last;
      expect(share).toBeGreaterThanOrEqual(last);
      last = share;
    }
    expect(last).toBeGreaterThan(0.9);
  });

  test.each([
    [0.317, 41_000, '~31 %, about 40 s left'],
    [0.999, 200, '~99 %, about 1 s left'],
    [1, 0, '~99 %, about 1 s left'],
    [0.05, 7_000, '~5 %, about 7 s left'],
    [0.05, 200_000, '~5 %, about 3 min left'],
    [0.05, 9_000_000, '~5 %, about 3 h left'],
  ])('%d %d', (share, ms, text) => expect(leftText({ share, ms })).toBe(text));

  test('of what', () => {
    expect(leftText({ share: 0.5, ms: 4000 }, ' of round 2')).toBe(
      '~50 % of round 2, about 4 s left',
    );
  });
});
