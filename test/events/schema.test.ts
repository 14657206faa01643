import { describe, expect, it } from 'vitest';
import { EVENT_TYPES } from '../../events/event.js';
import type { EventType } from '../../events/event.js';
import { EVENT_SCHEMA, LONGEST_STRING, schemaProblem } from '../../events/schema.js';

/** The fields without which each type is refused. */
const REQUIRED: { readonly [T in EventType]: Readonly<Record<string, unknown>> } = {
  bus_notify: { action: 1 },
  chain_call: { action: 1 },
  chain_return: { ret: 0 },
  callback_call: { fn: 'iommu_bus_notifier' },
  callback_return: { fn: 'iommu_bus_notifier', ret: 1 },
  notifier_run: { fn: 'pvclock_gtod_notify' },
  chain_register: {},
  chain_unregister: {},
  function_call: { fn: 'really_probe' },
  function_return: { fn: 'really_probe' },
  add_device_to_group: { group: 12, dev: '0000:04:00.0' },
  remove_device_from_group: { group: 12, dev: '0000:04:00.0' },
  attach_device_to_domain: { dev: '0000:04:00.0' },
  detach_device_from_domain: { dev: '0000:04:00.0' },
  map: { iova: 4096, size: 4096 },
  unmap: { iova: 4096, size: 4096 },
  io_page_fault: { dev: '0000:04:00.0', iova: 4096 },
  pci_hp_event: { dev: '0000:00:02.0', slot: '10', event: 'CARD_PRESENT' },
  mark: {},
  trace_event: { name: 'sched_switch' },
  uevent: { action: 'add', devpath: '/devices/x', subsystem: 'pci', dev: 'x', from: 'kernel' },
  printk: { text: 'vfio-pci 0000:04:00.0: enabling device' },
  sysfs_group: { group: 12, devices: ['0000:04:00.0'] },
  sysfs_device: { dev: '0000:04:00.0', bus: 'pci' },
  sysfs_snapshot: {},
  model_step: { thread: 'T0', number: 1, what: 'lock(m)' },
  lost: {},
  unparsed: { text: '?', reason: 'not JSON' },
};

function problemOf(input: unknown): string | undefined {
  const parsed = EVENT_SCHEMA.safeParse(input);
  return parsed.success ? undefined : schemaProblem(parsed.error, input);
}

describe.each(EVENT_TYPES)('%s', (type) => {
  const least = { type, ...REQUIRED[type] };

  it('is accepted with its required fields alone', () => {
    expect(EVENT_SCHEMA.parse(least)).toEqual({
      ...least,
      seq: 0,
      time: NaN,
      origin: { format: '?', file: '?', line: 0 },
    });
  });

  it('names a missing field', () => {
    for (const key of Object.keys(REQUIRED[type])) {
      const rest = Object.entries(least).filter(([name]) => name !== key);
      expect(problemOf(Object.fromEntries(rest))).toBe(`${key}: missing`);
    }
  });

  it('names an unknown key', () => {
    expect(problemOf({ ...least, grupo: 1 })).toBe('unknown key "grupo"');
    expect(problemOf({ ...least, constructor: 1 })).toBe('unknown key "constructor"');
    const hostile: unknown = JSON.parse(
      JSON.stringify(least).replace(/\}$/, ',"__proto__":{"cpu":1}}'),
    );
    expect(problemOf(hostile)).toBe('unknown key "__proto__"');
  });
});

describe('values', () => {
  const call = { type: 'function_call', fn: 'device_add' };

  it('takes a time that is absent, null or NaN as unknown', () => {
    for (const time of [{}, { time: null }, { time: NaN }]) {
      expect(EVENT_SCHEMA.parse({ ...call, ...time }).time).toBeNaN();
    }
    expect(EVENT_SCHEMA.parse({ ...call, time: 12_000_000_001 }).time).toBe(12_000_000_001);
  });

  it.each([
    [{ ...call, time: Infinity }, 'time: must be a number of nanoseconds, or absent'],
    [{ ...call, time: '12.5' }, 'time: must be a number of nanoseconds, or absent'],
    [{ ...call, domainType: Infinity }, 'domainType: expected number, not Infinity'],
    [{ ...call, domainType: NaN }, 'domainType: expected number, not NaN'],
    [{ ...call, domainType: null }, 'domainType: expected number, not null'],
    [{ ...call, fn: 3 }, 'fn: expected string, not number'],
    [{ ...call, task: { comm: 'sh' } }, 'task.pid: missing'],
    [{ ...call, task: { comm: 'sh', pid: 1, tid: 2 } }, 'task: unknown key "tid"'],
    [{ ...call, origin: [] }, 'origin: expected object, not an array'],
    [{ type: 'function-call' }, 'type: unknown value "function-call"'],
    [{ type: 'toString' }, 'type: unknown value "toString"'],
    [{ type: 7 }, 'type: unexpected number'],
    [{}, 'type: missing'],
    [[], 'expected object, not an array'],
    [null, 'expected object, not null'],
    ['event', 'expected object, not string'],
    [{ type: 'printk', text: '', fact: { kind: 'group-add', dev: 'x' } }, 'fact.group: missing'],
    [{ type: 'printk', text: '', fact: { kind: 'group' } }, 'fact.kind: unknown value "group"'],
    [
      { type: 'sysfs_group', group: 1, devices: ['a', 2] },
      'devices.1: expected string, not number',
    ],
    [
      { type: 'uevent', ...REQUIRED.uevent, properties: { ACTION: 1 } },
      'properties: must be an object whose values are strings',
    ],
  ])('%j: %s', (input, problem) => {
    expect(problemOf(input)).toBe(problem);
  });

  it('refuses what the columns of a batch cannot hold', () => {
    for (const group of [1.5, 2 ** 31, -(2 ** 31)]) {
      expect(problemOf({ ...call, group })).toMatch(/^group: /);
    }
    for (const cpu of [-1, 32768, 0.5]) expect(problemOf({ ...call, cpu })).toMatch(/^cpu: /);
    expect(problemOf({ ...call, task: { comm: '', pid: 2 ** 31 } })).toMatch(/^task\.pid: /);
  });

  it('caps strings, and what it says of them', () => {
    const long = 'x'.repeat(LONGEST_STRING + 1);
    expect(problemOf({ ...call, fn: long })).toMatch(/^fn: /);
    expect(problemOf({ type: 'uevent', ...REQUIRED.uevent, properties: { A: long } })).toMatch(
      /^properties: /,
    );
    expect(problemOf({ ...call, [long]: 1 })!.length).toBeLessThanOrEqual(200);
    expect(problemOf({ type: long })!.length).toBeLessThanOrEqual(200);
    expect(problemOf({ ...call, fn: long.slice(1) })).toBeUndefined();
  });

  it('keeps every property of a uevent and gives none that it lacks', () => {
    const event = EVENT_SCHEMA.parse({
      type: 'uevent',
      ...REQUIRED.uevent,
      properties: JSON.parse('{"__proto__":"a","constructor":"b"}') as unknown,
    });
    const properties = event.type === 'uevent' ? event.properties! : {};
    expect(Object.entries(properties)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    expect('toString' in properties).toBe(false);
  });
});
