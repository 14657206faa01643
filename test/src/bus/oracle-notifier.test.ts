import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { NotifierKind } from '../../../machines/profiles/profile.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { NotifierChain } from '../../../src/bus/notifier-chain.js';
import { DeadlockError } from '../../../src/bus/deadlock-error.js';
import {
  BusSubject,
  emissions,
  MachineSubject,
  mayInCallback,
  readOracle,
  runScript,
  settled,
} from './oracle-script.js';
import type { Recorded } from './oracle-script.js';

const KERNELS = ['5.10', '6.1', '6.12', '7.2'] as const;
const KINDS: readonly NotifierKind[] = ['blocking', 'atomic', 'raw', 'srcu'];

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SOURCES = KERNELS.flatMap((kernel) => [
  {
    kernel,
    source: 'test/oracle',
    file: here(`../../oracle/${kernel}.jsonl.gz`),
    least: 40,
  },
  {
    kernel,
    source: '../shared/oracle',
    file: here(`../../../../shared/oracle/${kernel}/notifier-oracle.jsonl.gz`),
    least: 600,
  },
]);

function countByKind(scripts: readonly Recorded[]): string {
  return KINDS.map((kind) => `${kind} ${scripts.filter((s) => s.chain === kind).length}`).join(
    ', ',
  );
}

describe.each(SOURCES)('what $kernel answered, $source', ({ kernel, source, file, least }) => {
  const present = existsSync(file);
  const scripts = present ? readOracle(file) : [];
  const profile = profileByName(kernel)!;

  it.skipIf(!present)(`is what the bus answers (skipped where ${source} is not there)`, () => {
    for (const recorded of scripts) {
      const { answers } = runScript(recorded, new BusSubject(recorded.chain, profile));
      expect({ id: recorded.id, answers }).toEqual({ id: recorded.id, answers: recorded.result });
    }
    process.stdout.write(
      `notifier oracle ${kernel}, ${source}: ${scripts.length} scripts on the bus: ${countByKind(scripts)}\n`,
    );
    expect(scripts.length).toBeGreaterThanOrEqual(least);
    for (const kind of KINDS) expect(scripts.some(({ chain }) => chain === kind)).toBe(true);
  });

  it.skipIf(!present)(
    `is what the machine answers, with the bus's structure (or no ${source})`,
    () => {
      for (const recorded of scripts) {
        const bus = runScript(recorded, new BusSubject(recorded.chain, profile));
        const machine = runScript(recorded, new MachineSubject(recorded.chain, profile));
        expect({ id: recorded.id, ...machine }).toEqual({
          id: recorded.id,
          answers: recorded.result,
          structure: bus.structure,
        });
      }
    },
  );
});

describe('what the recording module refused to do inside a callback', () => {
  it.each(KINDS.flatMap((kind) => ['R', 'U'].map((what) => ({ kind, what }))))(
    '$kind, $what: a deadlock exactly where it refused',
    ({ kind, what }) => {
      const chain = new NotifierChain({ kind, name: kind, profile: profileByName('7.2')! });
      const other = { name: 'other', call: () => 0 };
      const block = {
        name: 'block',
        call: () => settled(what === 'R' ? chain.register(other) : chain.unregister(other)),
      };
      settled(chain.register(block));
      const run = () => emissions(chain.call(1, undefined)).returned.ret;
      if (mayInCallback(kind, what)) expect(run()).toBe(what === 'R' ? 0 : -2);
      else expect(run).toThrow(DeadlockError);
    },
  );
});
