/**
 * The add/remove storm: N devices, each with a thread that adds it and one that removes it, one
 * mutex, two listeners. Prints states, time and memory, each in a fresh process; transitions a
 * second without reduction; and random schedules a second beside fast-check's scheduler on the same
 * program.
 */

import fc from 'fast-check';
import { addRemove } from '../../machines/races/add-remove.js';
import { Program } from '../../src/explore/program.js';
import { sample } from '../../src/explore/sample.js';
import { randomWalk } from '../../src/explore/samplers/random-walk.js';
import { goal } from './goal.js';
import { runStorm, searchStorm } from './spin/hotrace-storm.js';

const WARM_RUNS = 5;
/** Largest N, and within how many seconds. */
const LARGEST = { accepts: { devices: 8, seconds: 5 }, remembers: { devices: 6, seconds: 2 } };

const out = (text: string) => void process.stdout.write(`${text}\n`);
const n = (value: number) => Math.round(value).toLocaleString('en');

out('add/remove storm, every interleaving; ms of the search, and of the whole process');
out(
  '  listeners   N    states  transitions   process    search      warm   bytes/state   resident',
);
for (const listener of ['accepts', 'remembers'] as const) {
  const { devices: largest, seconds } = LARGEST[listener];
  for (let devices = 2; devices <= largest; devices++) {
    const run = runStorm(devices, listener, WARM_RUNS);
    const { states, allTransitions, bytes } = run.stats;
    const ms = [run.whole, run.ms, run.warm ?? NaN].map((time) => n(time).padStart(8));
    const cut = run.cut === undefined ? '' : ` (cut: ${run.cut})`;
    out(
      `  ${listener.padEnd(10)}  ${devices}  ${n(states).padStart(8)}  ${n(allTransitions).padStart(11)}  ${ms.join('  ')}   ${n(bytes / states).padStart(11)}   ${n(run.resident).padStart(5)} MB${cut}`,
    );
    if (devices === largest) {
      const what = `N = ${devices}, ${listener}: s of a fresh process`;
      out(goal(what, run.cut === undefined ? run.whole / 1000 : Infinity, 'most', seconds));
    }
  }
}

const unreduced = searchStorm(4, 'accepts', false);
const { states, transitions, bytes } = unreduced.stats;
out(`unreduced, N = 4, accepts: ${n(states)} states, ${n(bytes / states)} bytes each`);
out(goal('transitions a second', (transitions / unreduced.ms) * 1000, 'least', 2_000_000));

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
out(`  fast-check  ${n(theirs)} a second`);
out(goal('times as many', ours / theirs, 'least', 10));
