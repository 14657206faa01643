/**
 * The add/remove storm: N devices, each with a thread that adds it and one that removes it, one
 * mutex, two listeners. Prints states, time and memory, reduced beside unreduced from the same run;
 * and random schedules a second beside fast-check's scheduler on the same program.
 */

import fc from 'fast-check';
import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { addRemove } from '../../machines/races/add-remove.js';
import { Exhaustive, NO_REDUCTION } from '../../src/explore/exhaustive.js';
import type { SearchResult } from '../../src/explore/exhaustive.js';
import { Program } from '../../src/explore/program.js';
import { sample } from '../../src/explore/sample.js';
import { randomWalk } from '../../src/explore/samplers/random-walk.js';

const accepts: AnyStateMachine = createMachine({
  id: 'accepts',
  on: { ADD_DEVICE: { actions: () => {} }, DEL_DEVICE: { actions: () => {} } },
});
const LISTENERS = { accepts, remembers: undefined } as const;
const UNREDUCED_STATES = 2_000_000;

interface Measured {
  readonly result: SearchResult;
  readonly ms: number;
}

function search(what: keyof typeof LISTENERS, devices: number, reduced: boolean): Measured {
  const listener = LISTENERS[what];
  const scenario = addRemove({
    devices,
    listeners: 2,
    ...(listener === undefined ? {} : { listener }),
  });
  const begin = performance.now();
  const result = new Exhaustive(new Program(scenario), {
    ...(reduced ? {} : { reductions: NO_REDUCTION }),
    bounds: { states: UNREDUCED_STATES },
  }).run();
  return { result, ms: performance.now() - begin };
}

const out = (text: string) => void process.stdout.write(`${text}\n`);
const n = (value: number) => Math.round(value).toLocaleString('en');

out('add/remove storm, every interleaving');
out('  listeners   N    states  transitions       ms   bytes/state   unreduced');
for (const what of ['accepts', 'remembers'] as const) {
  // Warm: what is measured is the search, not the compiler.
  search(what, 3, true);
  for (let devices = 2; devices <= (what === 'accepts' ? 8 : 6); devices++) {
    const { result, ms } = search(what, devices, true);
    const { states, transitions, bytes } = result.stats;
    let beside = '';
    if (devices <= 3) {
      const full = search(what, devices, false);
      const rate = (full.result.stats.transitions / full.ms) * 1000;
      beside = `${n(full.result.stats.states)} states, ${n(full.ms)} ms, ${n(rate)} transitions/s: ${(full.ms / ms).toFixed(1)} x the time`;
    }
    const cut = result.cut === undefined ? '' : ` (cut: ${result.cut})`;
    out(
      `  ${what.padEnd(10)}  ${devices}  ${n(states).padStart(8)}  ${n(transitions).padStart(11)}  ${n(ms).padStart(7)}   ${n(bytes / states).padStart(11)}   ${beside}${cut}`,
    );
  }
}

/** The race of 2012 written for fast-check's scheduler: every step is a scheduled promise. */
async function withFastCheck(runs: number): Promise<number> {
  const begin = performance.now();
  await fc.check(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      const heard: string[] = [];
      const list = new Set<string>();
      let pointer: string | null = null;
      const step = (name: string) => s.schedule(Promise.resolve(), name);
      const add = async () => {
        await step('pointer');
        pointer = 'g0';
        await step('lock');
        list.add('d0');
        await step('unlock');
        await step('notify');
        heard.push('ADD');
      };
      const remove = async () => {
        await step('read');
        if (pointer === null) return;
        await step('notify');
        heard.push('DEL');
        await step('lock');
        list.delete('d0');
        await step('unlock');
        await step('clear');
        pointer = null;
      };
      const all = Promise.all([add(), remove()]);
      await s.waitFor(all);
      return true;
    }),
    { numRuns: runs },
  );
  return (runs / (performance.now() - begin)) * 1000;
}

function withHotrace(runs: number): number {
  const program = new Program(addRemove());
  const begin = performance.now();
  sample(program, randomWalk, { seed: 1, runs });
  return (runs / (performance.now() - begin)) * 1000;
}

withHotrace(2000);
await withFastCheck(500);
const ours = withHotrace(50_000);
const theirs = await withFastCheck(3000);
out('random schedules of the race of 2012');
out(`  hotrace     ${n(ours)} a second`);
out(`  fast-check  ${n(theirs)} a second: hotrace draws ${(ours / theirs).toFixed(1)} x as many`);
