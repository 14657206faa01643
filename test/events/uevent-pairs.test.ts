import { Buffer } from 'node:buffer';
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Uevent } from '../../events/event.js';
import { udevadm } from '../../events/formats/udevadm.js';
import { MOST_GAPS, MOST_OUTSTANDING, UeventPairs } from '../../events/uevent-pairs.js';
import { readEvents } from './read-events.js';

const TRACES = new URL('../../../shared/traces/', import.meta.url);

/** `k12@5`: the kernel's event 12 at 5 ns; `u12@9`: udev's. `k@5`: without a number. */
function uevent(text: string): Uevent {
  const [head, time] = text.split('@');
  return {
    type: 'uevent',
    seq: 0,
    time: Number(time ?? 0),
    origin: { format: 'udevadm', file: 'x', line: 1 },
    from: head.startsWith('k') ? 'kernel' : 'udev',
    action: 'add',
    devpath: '/a',
    dev: 'a',
    subsystem: 'x',
    ...(head.length === 1 ? {} : { seqnum: Number(head.slice(1)) }),
  };
}

function summary(events: Iterable<string>) {
  const pairs = new UeventPairs();
  for (const event of events) pairs.add(uevent(event));
  return pairs.summary();
}

const NOTHING = {
  pairs: 0,
  kernelOnly: 0,
  udevOnly: 0,
  unnumbered: 0,
  medianDelayNs: undefined,
  maxDelayNs: undefined,
  seqnumGaps: [],
  moreGaps: 0,
  givenUp: 0,
};

describe('UeventPairs', () => {
  it.each<[string, string, Partial<ReturnType<UeventPairs['summary']>>]>([
    ['nothing', '', {}],
    ['a pair', 'k1@5 u1@12', { pairs: 1, medianDelayNs: 7, maxDelayNs: 7 }],
    [
      'udev in another order',
      'k1@0 k2@0 k3@0 u3@1 u1@2 u2@9',
      { pairs: 3, medianDelayNs: 2, maxDelayNs: 9 },
    ],
    [
      'an even number of pairs',
      'k1@0 k2@0 u1@10 u2@20',
      { pairs: 2, medianDelayNs: 15, maxDelayNs: 20 },
    ],
    ['udev first', 'u1@5 k1@9', { pairs: 1, medianDelayNs: -4, maxDelayNs: -4 }],
    [
      'udev never finished',
      'k1 k2 u2',
      { pairs: 1, kernelOnly: 1, medianDelayNs: 0, maxDelayNs: 0 },
    ],
    ['begun in between', 'u1 k2 u2', { pairs: 1, udevOnly: 1, medianDelayNs: 0, maxDelayNs: 0 }],
    ['no numbers', 'k u k', { unnumbered: 3 }],
    [
      'the same half twice',
      'k1 k1 u1@4',
      { pairs: 1, kernelOnly: 1, medianDelayNs: 4, maxDelayNs: 4 },
    ],
    ['no clock', 'k1@NaN u1@4', { pairs: 1 }],
    ['a gap', 'k1 k5', { kernelOnly: 2, seqnumGaps: [{ after: 1, next: 5, missing: 3 }] }],
    [
      'a late number splits a gap',
      'k1 k5 k3',
      {
        kernelOnly: 3,
        seqnumGaps: [
          { after: 1, next: 3, missing: 1 },
          { after: 3, next: 5, missing: 1 },
        ],
      },
    ],
    ['late numbers close a gap', 'k1 k4 k3 k2', { kernelOnly: 4 }],
    [
      'before the first',
      'k10 k8',
      { kernelOnly: 2, seqnumGaps: [{ after: 8, next: 10, missing: 1 }] },
    ],
    ['the first one late', 'k10 k9', { kernelOnly: 2 }],
    [
      'at the edges of a gap',
      'k1 k5 u1 u5',
      {
        pairs: 2,
        medianDelayNs: 0,
        maxDelayNs: 0,
        seqnumGaps: [{ after: 1, next: 5, missing: 3 }],
      },
    ],
    ['a number of udev alone is none missing', 'k1 u2 k3', { kernelOnly: 2, udevOnly: 1 }],
  ])('%s', (_name, events, expected) => {
    expect(summary(events.split(' ').filter((e) => e !== ''))).toEqual({ ...NOTHING, ...expected });
  });

  it('keeps four digits of a median and all digits of a maximum', () => {
    expect(summary(['k1@0', 'u1@123456789'])).toMatchObject({
      medianDelayNs: 123500000,
      maxDelayNs: 123456789,
    });
  });

  it('gives up the oldest when too many wait', () => {
    const events = Array.from({ length: MOST_OUTSTANDING + 5 }, (_, i) => `k${i}`);
    expect(summary([...events, 'u5@1', 'u0'])).toMatchObject({
      pairs: 1,
      kernelOnly: MOST_OUTSTANDING + 4,
      udevOnly: 1,
      givenUp: 5,
    });
  });

  it('lists a bounded number of gaps', () => {
    const found = summary(Array.from({ length: MOST_GAPS + 11 }, (_, i) => `k${i * 2}`));
    expect(found.seqnumGaps).toHaveLength(MOST_GAPS);
    expect(found.moreGaps).toBe(10);
  });

  it('agrees with a plain count in any order', () => {
    const event = fc.tuple(fc.constantFrom('k', 'u'), fc.nat(30)).map(([from, n]) => `${from}${n}`);
    fc.assert(
      fc.property(fc.uniqueArray(event, { maxLength: 60 }), (events) => {
        const numbers = [...new Set(events.map((e) => Number(e.slice(1))))].sort((a, b) => a - b);
        const both = numbers.filter(
          (n) => events.includes(`k${n}`) && events.includes(`u${n}`),
        ).length;
        const gaps = numbers
          .map((next, i) => ({ after: numbers[i - 1], next, missing: next - numbers[i - 1] - 1 }))
          .filter((g) => g.missing > 0);
        expect(summary(events)).toMatchObject({
          pairs: both,
          kernelOnly: events.filter((e) => e.startsWith('k')).length - both,
          udevOnly: events.filter((e) => e.startsWith('u')).length - both,
          seqnumGaps: gaps,
        });
      }),
    );
  });

  // 6.12 and 7.2 send some kernel events out of the order of their numbers.
  it.skipIf(!existsSync(TRACES)).each(['5.10', '6.1', '6.12', '7.2'])(
    'stress-mixed of %s',
    (kernel) => {
      const file = new URL(`${kernel}/stress-mixed/udevadm-monitor.txt.gz`, TRACES);
      if (!existsSync(file)) return;
      const bytes = gunzipSync(readFileSync(file));
      const pairs = new UeventPairs();
      for (const event of readEvents(udevadm, bytes)) pairs.add(event as Uevent);
      const found = pairs.summary();
      const heads = Buffer.from(bytes).toString('latin1').split('\n');
      expect(found.pairs + found.kernelOnly).toBe(
        heads.filter((l) => l.startsWith('KERNEL[')).length,
      );
      expect(found.pairs + found.udevOnly).toBe(
        heads.filter((l) => l.startsWith('UDEV  [')).length,
      );
      expect(found).toMatchObject({ kernelOnly: 0, udevOnly: 0, seqnumGaps: [], unnumbered: 0 });
      expect(found.medianDelayNs).toBeGreaterThan(0);
      expect(found.maxDelayNs).toBeGreaterThanOrEqual(found.medianDelayNs!);
    },
  );
});
