import { describe, expect, it } from 'vitest';
import { InternedMachine } from '../../machines/intern.js';
import { iotlbMachine, isMeant } from '../../machines/iotlb.js';
import type { Cached, IotlbEvent, Meant } from '../../machines/iotlb.js';

const PAGE: Cached = { cache: 'IOTLB', domain: 'D', pasid: 5, page: 4, leaf: true, to: 'page' };
const ALL: Meant = { cache: 'IOTLB', domain: 'D' };

function after(...events: readonly IotlbEvent[]) {
  const machine = new InternedMachine(iotlbMachine);
  let state = machine.initial;
  for (const event of events) state = machine.next(state, machine.event(event));
  const accepts = (event: IotlbEvent) => machine.accepts(state, machine.event(event));
  const replies = (event: IotlbEvent) => machine.replies(state, machine.event(event)).at(-1);
  return { broken: machine.broken(state), accepts, replies };
}

const cache = (cached: Cached): IotlbEvent => ({ type: 'cache', cached });
const flush = (meant: Meant, waits = false): IotlbEvent => ({
  type: 'flush',
  meant,
  behalf: 'D',
  waits,
});

describe('what an invalidation means', () => {
  it.each([
    [ALL, true],
    [{ cache: 'PASID', domain: 'D' }, false],
    [{ ...ALL, domain: 'E' }, false],
    [{ ...ALL, pasid: 5 }, true],
    [{ ...ALL, pasid: 6 }, false],
    [{ ...ALL, first: 4 }, true],
    [{ ...ALL, first: 3 }, false],
    [{ ...ALL, first: 3, pages: 2 }, true],
    [{ ...ALL, first: 5, pages: 2 }, false],
    [{ ...ALL, dev: 'd0' }, false],
  ] satisfies [Meant, boolean][])('%o: %s', (meant, is) => {
    expect(isMeant(meant, PAGE)).toBe(is);
  });

  it('is without the tables where only leaves are meant', () => {
    const table = { ...PAGE, leaf: false };
    expect([isMeant({ ...ALL, leafOnly: true }, table), isMeant(ALL, table)]).toEqual([
      false,
      true,
    ]);
    expect(isMeant({ ...ALL, leafOnly: true }, PAGE)).toBe(true);
  });
});

describe('an IOTLB', () => {
  it('translates what is cached, from leaves', () => {
    const look: IotlbEvent = { type: 'look_up', domain: 'D', pasid: 5, page: 4 };
    expect(after(cache(PAGE)).replies(look)).toEqual({ type: 'to', to: 'page' });
    expect(after(cache({ ...PAGE, leaf: false })).replies(look)).toEqual({ type: 'to', to: null });
    expect(after(cache(PAGE), flush(ALL)).replies(look)).toEqual({ type: 'to', to: null });
  });

  it('waits for requests in flight where it is asked to', () => {
    const busy = after({ type: 'begin' });
    expect([busy.accepts(flush(ALL)), busy.accepts(flush(ALL, true))]).toEqual([true, false]);
    expect(after({ type: 'begin' }, { type: 'end' }).accepts(flush(ALL, true))).toBe(true);
  });

  it('breaks P-A3-5 where 0 is returned too early', () => {
    const done: IotlbEvent = { type: 'done', asked: [ALL] };
    expect(after(cache(PAGE), done).broken).toBe('P-A3-5');
    expect(after(cache(PAGE), flush(ALL), done).broken).toBe(undefined);
  });

  it('breaks P-A3-6 where another domain loses something', () => {
    const other = cache({ ...PAGE, domain: 'E' });
    expect(after(other, flush({ cache: 'IOTLB' })).broken).toBe('P-A3-6');
    expect(after(other, flush(ALL)).broken).toBe(undefined);
  });

  it('breaks INV-44 where an error comes after an effect', () => {
    const refused: IotlbEvent = { type: 'refused', ret: -22 };
    expect(after(flush(ALL), refused).broken).toBe('INV-44');
    expect(after(refused).broken).toBe(undefined);
    expect(after(flush(ALL), { type: 'done', asked: [] }, refused).broken).toBe(undefined);
  });
});
