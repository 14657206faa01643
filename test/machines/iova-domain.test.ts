import { describe, expect, it, test } from 'vitest';
import { hex, high, isBelow, joined, low, MAX_ADDR, plus } from '../../machines/dma-addr.js';
import { iovaDomainMachine } from '../../machines/iova-domain.js';
import type { IovaMemory, IovaReply } from '../../machines/iova-domain.js';
import { pageTableMachine } from '../../machines/page-table.js';
import type { PageTableReply } from '../../machines/page-table.js';
import { InternedMachine } from '../../machines/intern.js';
import type { AnyStateMachine, EventObject } from 'xstate';

class Sent<Reply> {
  private readonly machine: InternedMachine;
  private state: number;
  constructor(machine: AnyStateMachine, input?: unknown) {
    this.machine = new InternedMachine(machine);
    this.state = this.machine.start(input);
  }
  send(event: EventObject & Record<string, unknown>): Reply | undefined {
    const id = this.machine.event(event);
    const reply = this.machine.replies(this.state, id).at(-1);
    this.state = this.machine.next(this.state, id);
    return reply as Reply | undefined;
  }
  get broken() {
    return this.machine.broken(this.state);
  }
  get context() {
    return this.machine.context(this.state);
  }
}

describe('an IOVA domain', () => {
  const range = { start: '0x8000000', end: '0x8002fff' };
  const iova = (reply: IovaReply | undefined) => (reply as { iova: string | null }).iova;

  it('has nothing before it is initialised', () => {
    const domain = new Sent<IovaReply>(iovaDomainMachine);
    expect(domain.send({ type: 'read_range' })).toEqual({ type: 'range', range: null });
    expect(iova(domain.send({ type: 'alloc', size: 0x1000 }))).toBe(null);
    domain.send({ type: 'init', ...range });
    expect(domain.send({ type: 'read_range' })).toEqual({ type: 'range', range });
    domain.send({ type: 'put' });
    expect(domain.context).toEqual({ range: null, allocated: {} } satisfies IovaMemory);
  });

  it('gives the highest that are free, as long as there are any', () => {
    const domain = new Sent<IovaReply>(iovaDomainMachine, range);
    const alloc = (size: number) => iova(domain.send({ type: 'alloc', size }));
    expect([alloc(0x1000), alloc(0x2000), alloc(0x1000)]).toEqual(['0x8002000', '0x8000000', null]);
    domain.send({ type: 'free', iova: '0x8002000' });
    expect([alloc(0x2000), alloc(0x1000)]).toEqual([null, '0x8002000']);
    expect(domain.broken).toBe(undefined);
  });

  it('takes back only what it gave', () => {
    const domain = new Sent<IovaReply>(iovaDomainMachine, range);
    domain.send({ type: 'free', iova: '0x8000000' });
    expect(domain.broken).toBe('INV-24');
  });
});

describe('a page table', () => {
  const map = (iova: string, size = 0x1000) => ({ type: 'map', iova, paddr: `of ${iova}`, size });

  it('translates what is mapped, and does not map over it', () => {
    const table = new Sent<PageTableReply>(pageTableMachine);
    expect(table.send(map('0x2000', 0x2000))).toEqual({ type: 'mapped', ok: true });
    for (const iova of ['0x2000', '0x3000']) {
      expect(table.send(map(iova))).toEqual({ type: 'mapped', ok: false });
      expect(table.send({ type: 'walk', iova })).toEqual({ type: 'paddr', paddr: 'of 0x2000' });
    }
    expect(table.send(map('0x1000', 0x2000))).toEqual({ type: 'mapped', ok: false });
    expect(table.send(map('0x4000'))).toEqual({ type: 'mapped', ok: true });
    expect(table.send({ type: 'walk', iova: '0x1000' })).toEqual({ type: 'paddr', paddr: null });
  });

  it('unmaps what begins in the range, and says how much', () => {
    const table = new Sent<PageTableReply>(pageTableMachine);
    table.send(map('0x2000', 0x2000));
    const unmap = { type: 'unmap', iova: '0x2000', size: 0x2000 };
    expect(table.send(unmap)).toEqual({ type: 'unmapped', size: 0x2000 });
    expect(table.send(unmap)).toEqual({ type: 'unmapped', size: 0 });
    expect(table.send(map('0x3000'))).toEqual({ type: 'mapped', ok: true });
  });
});

test('addresses have 64 bits and two halves', () => {
  expect([high(MAX_ADDR), low(MAX_ADDR)]).toEqual(['0xffffffff', '0xffffffff']);
  expect(joined(high('0x123456789abcdef0'), low('0x123456789abcdef0'))).toBe('0x123456789abcdef0');
  expect([plus(MAX_ADDR, 1), plus('0x10', -1), hex(255)]).toEqual(['0x0', '0xf', '0xff']);
  // As numbers, not as text.
  expect([isBelow('0x9', '0x10'), isBelow('0x10', '0x9'), isBelow('0x9', '0x9')]).toEqual([
    true,
    false,
    false,
  ]);
});
