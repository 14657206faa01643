/** Time travel agrees with replaying no further than that moment. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { History } from '../../../src/replay/history.js';
import { Replay } from '../../../src/replay/replay.js';
import { EMPTY_STATE } from '../../../src/replay/state.js';
import type { DeviceState } from '../../../src/replay/state.js';
import { diff } from '../../../src/replay/state-diff.js';
import { FIXTURES, folder, ROOT, SAMPLE } from '../cli/command.js';

const INPUTS = [
  ['v6.12', `${SAMPLE}/trace.txt.gz`],
  ['v5.10', `${FIXTURES}/5.10-add-del-native/trace.txt.gz`],
  ['v7.2', `${FIXTURES}/7.2-race-add-del/trace.txt.gz`],
] as const;

let temporary: string;
let remove: () => void;
beforeAll(() => {
  [temporary, remove] = folder();
});
afterAll(() => remove());

async function historyOf(path: string, kernel: string): Promise<History> {
  const { history } = await new Replay({ files: [path], kernel: profileByName(kernel) }).run();
  return history as History;
}

describe.each(INPUTS)('%s %s', (kernel, name) => {
  let whole: History;
  let lines: string[];
  beforeAll(async () => {
    whole = await historyOf(join(ROOT, name), kernel);
    lines = gunzipSync(readFileSync(join(ROOT, name)))
      .toString('latin1')
      .split('\n');
  });

  test('the state after an event is the end of a replay that stops there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length - 1 }), async (seq) => {
        const { origin } = whole.event(seq)!;
        const path = join(temporary, 'beginning.txt');
        writeFileSync(path, `${lines.slice(0, origin.line).join('\n')}\n`, 'latin1');
        const beginning = await historyOf(path, kernel);
        expect(diff(whole.stateAfter(seq), beginning.stateAfter(beginning.length))).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  test('a moment is the last event that is not later', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (seq) => {
        const { time } = whole.event(seq)!;
        const at = whole.seqAt(time);
        expect(at).toBeGreaterThanOrEqual(seq);
        expect(whole.stateAt(time)).toEqual(whole.stateAfter(at));
        const next = whole.event(at + 1);
        if (next !== undefined) expect(next.time).toBeGreaterThan(time);
      }),
    );
  });

  test('the history of a device and of a group is what the states show', () => {
    const end = whole.stateAfter(whole.length);
    const names = new Set<string>();
    for (let seq = 0; seq < whole.length; seq += 50)
      for (const key of whole.stateAfter(seq).devices.keys()) names.add(key);
    expect(names.size).toBeGreaterThan(0);
    for (const key of names) {
      const past = whole.device(key);
      for (const { seq, state } of past)
        if (past.findLast((p) => p.seq === seq)?.state === state)
          expect(whole.stateAfter(seq).devices.get(key)).toEqual(state);
      expect(past.at(-1)?.state).toEqual(end.devices.get(key));
    }
  });

  test('the devices of a domain are those that name it', () => {
    const addresses = new Set<string>();
    for (let seq = 0; seq < whole.length; seq += 20)
      for (const { domain } of whole.stateAfter(seq).devices.values())
        if (domain !== undefined) addresses.add(domain);
    expect(addresses.size).toBeGreaterThan(0);
    for (const address of addresses) {
      for (const { seq } of whole.domain(address)) {
        const attached = [...whole.stateAfter(seq).devices].filter(([, d]) => d.domain === address);
        const last = whole.domain(address).findLast((past) => past.seq === seq)?.state;
        expect([...(last?.devices ?? [])].sort()).toEqual(attached.map(([key]) => key).sort());
      }
    }
  });
});

test('before the first event nothing is known; who blocks is asked of a moment', async () => {
  const history = await historyOf(join(ROOT, SAMPLE, 'trace.txt.gz'), 'v6.12');
  expect(history.stateAfter(-1)).toEqual(new History().stateAt(0));
  expect(history.stateAt(1).devices.size).toBe(0);
  expect(history.whoBlocks(20, 1)).toBeUndefined();
  expect(history.whoBlocks(20, 142.2e9)).toMatchObject({
    viable: false,
    blockers: [{ dev: '0000:04:00.1', driver: 'virtio-pci' }],
  });
});

test('what is not known of a device that came is not called none', () => {
  const device = { name: 'a', bus: 'pci', life: 'idle', driver: undefined, group: undefined };
  const rest = { driverSince: undefined, groupSince: undefined, uncertain: false };
  const state: DeviceState = { ...device, ...rest, domain: undefined, domainType: undefined };
  const after = { ...EMPTY_STATE, devices: new Map([['a', state]]) };
  expect(diff(EMPTY_STATE, after)).toEqual([
    { what: 'a', before: 'absent', after: 'driver not known, group not known' },
  ]);
});
