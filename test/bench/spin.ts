/**
 * `npm run bench`: the search of the storm against SPIN, which is installed where it is missing.
 * `spin.js SECONDS`: how long SPIN may search; 300 where left out. Times of both
 * are by the clock or of processor time, whichever is less.
 */

import { loadavg } from 'node:os';
import { goal } from './goal.js';
import { median, runStorm, searchStorm, wrongFinals } from './spin/hotrace-storm.js';
import type { StormRun } from './spin/hotrace-storm.js';
import { getSpin, PanError, runPan } from './spin/pan.js';
import type { PanOptions, PanRun, StormModel } from './spin/pan.js';

const LIMIT = Number(process.argv[2] ?? 300);
/** For a run that is not expected to end. */
const SHORT_LIMIT = Math.min(LIMIT, 60);
const WARM_RUNS = 60;
const FRESH_RUNS = 5;

/** All that is in the steps; the count that is checked is one that all share. */
const STEP_FOR_STEP: StormModel = [];
/** As far as SPIN's own reduction can be helped without leaving a step out. */
const SPLIT: StormModel = ['SPLIT_COUNT'];
/** As an expert would write it, who has convinced himself of the rest. */
const COLLAPSED: StormModel = ['COLLAPSED', 'SPLIT_COUNT'];

const NAMES = new Map([
  [STEP_FOR_STEP, 'step for step'],
  [SPLIT, 'same, count split'],
  [COLLAPSED, 'collapsed by hand'],
]);

const out = (text: string) => void process.stdout.write(`${text}\n`);
const n = (value: number) => Math.round(value).toLocaleString('en');
const s = (seconds: number) => seconds.toFixed(3);

/** Final states in which a listener heard something wrong: of a device's 5, all but one. */
const wrongFinalsOf = (devices: number) => 5 ** devices - 1;

function row(devices: number | 'N', what: string, cells: readonly string[]): void {
  const [make, search, states, transitions, memory, perState] = cells.map((cell) =>
    cell.padStart(13),
  );
  out(
    `  ${devices}  ${what.padEnd(28)}${make}${search}${states}${transitions}${memory}${perState}`,
  );
}

function printPan(devices: number, what: string, run: PanRun): void {
  row(devices, `spin: ${what}`, [
    s(run.make),
    `${run.cut === undefined ? '' : '> '}${s(run.search)}`,
    n(run.states),
    n(run.transitions),
    `${n(run.memory)} MB`,
    n((run.memory * 2 ** 20) / run.states),
  ]);
  if (run.cut !== undefined) {
    out(`     not finished: cut by ${run.cut}`);
  } else if (run.wrongFinals !== wrongFinalsOf(devices)) {
    throw new Error(
      `SPIN finds ${run.wrongFinals} wrong final states, not ${wrongFinalsOf(devices)}`,
    );
  }
}

function pan(model: StormModel, devices: number, more: Partial<PanOptions> = {}): PanRun {
  const run = runPan({ model, devices, limit: LIMIT, ...more });
  printPan(
    devices,
    `${NAMES.get(model)}${more.optimise === undefined ? '' : ` ${more.optimise}`}`,
    run,
  );
  return run;
}

/** The median of fresh processes by `whole`, and how long a search takes that is not the first. */
function hotrace(devices: number): StormRun & { readonly warm: number } {
  const fresh = Array.from({ length: FRESH_RUNS }, () => runStorm(devices, 'remembers'));
  const { warm = NaN } = runStorm(devices, 'remembers', WARM_RUNS);
  const whole = median(fresh.map((run) => run.whole));
  const ms = median(fresh.map((run) => run.ms));
  const resident = Math.max(...fresh.map((run) => run.resident));
  const run = { ...fresh[0], whole, ms, warm, resident };
  const { states, allTransitions, bytes } = run.stats;
  row(devices, 'hotrace: fresh process', [
    s((whole - ms) / 1000),
    s(ms / 1000),
    n(states),
    n(allTransitions),
    `${n(resident)} MB`,
    n(bytes / states),
  ]);
  row(devices, 'hotrace: warm', [
    '',
    s(warm / 1000),
    '',
    '',
    `${(bytes / 2 ** 20).toFixed(1)} MB`,
    '',
  ]);
  if (!run.violated.includes('INV-01') || run.cut !== undefined) throw new Error('another verdict');
  return run;
}

function checkEqual(): void {
  for (const devices of [1, 2]) {
    const { stats } = searchStorm(devices, 'remembers', false);
    const wrong = wrongFinals(devices, 'remembers');
    for (const model of [STEP_FOR_STEP, SPLIT, COLLAPSED]) {
      const run = runPan({ model, devices, unreduced: model !== COLLAPSED, limit: LIMIT });
      const equal =
        run.wrongFinals === wrong && (model === COLLAPSED || run.states === stats.states);
      if (!equal) throw new Error(`N = ${devices}, ${NAMES.get(model)}: another model`);
    }
    out(
      `  N = ${devices}: ${n(stats.states)} states unreduced, ${wrong} wrong final states, in hotrace as in SPIN`,
    );
  }
}

function compare(): void {
  out('the storm against SPIN, listeners that remember');
  const busy = loadavg()[0];
  if (busy > 1) out(`  the machine is busy: load ${busy.toFixed(1)}`);
  checkEqual();
  out('  s by the clock or of processor time, whichever is less');
  row('N', '', ['make/start', 'search', 'states', 'transitions', 'memory', 'bytes/state']);

  const three = { fast: pan(STEP_FOR_STEP, 3), quick: pan(STEP_FOR_STEP, 3, { optimise: '-O0' }) };
  const ours3 = hotrace(3);
  const step4 = pan(STEP_FOR_STEP, 4);
  const split4 = pan(SPLIT, 4);
  const collapsed4 = pan(COLLAPSED, 4);
  const ours4 = hotrace(4);
  const collapsed5 = pan(COLLAPSED, 5);
  const ours5 = hotrace(5);
  pan(COLLAPSED, 6, { limit: SHORT_LIMIT });
  const ours6 = hotrace(6);

  const whole3 = Math.min(...Object.values(three).map((run) => run.make + run.search));
  out(
    goal(
      'N = 3: first search of a process / spin, gcc and search',
      ours3.ms / 1000 / whole3,
      'most',
      0.1,
    ),
  );
  out(
    `           N = 3: whole process with the start of Node.js: ${(ours3.whole / 1000 / whole3).toPrecision(2)}`,
  );
  const times = (what: string, run: PanRun, ours: StormRun & { warm: number }, least?: number) => {
    const cold = (run.search / ours.ms) * 1000;
    const warm = (run.search / ours.warm) * 1000;
    const than = run.cut === undefined ? '' : `, at least: SPIN was cut by ${run.cut}`;
    if (least === undefined) {
      out(`           ${what}: ${n(cold)} x in a fresh process, ${n(warm)} x warm${than}`);
      return;
    }
    out(goal(`${what}, times as fast, warm${than}`, warm, 'least', least));
    out(goal(`${what}, times as fast, fresh process${than}`, cold, 'least', least));
  };
  times('N = 4, step for step', step4, ours4, 1000);
  times('N = 4, same, count split', split4, ours4);
  out(
    goal(
      'N = 4: resident memory of the process / SPIN’s',
      ours4.resident / step4.memory,
      'most',
      0.1,
    ),
  );
  const table = ours4.stats.bytes / 2 ** 20;
  out(goal('N = 4: memory of the states / SPIN’s', table / step4.memory, 'most', 0.1));
  times('N = 4, collapsed by hand', collapsed4, ours4, 30);
  times('N = 5, collapsed by hand', collapsed5, ours5, 500);
  out(goal('N = 6, s of a fresh process', ours6.whole / 1000, 'most', 2));
}

const missing = getSpin();
try {
  if (missing === undefined) compare();
  else out(`no comparison with SPIN: ${missing}`);
} catch (error) {
  // That SPIN cannot run here is no fault of ours; that it finds something else would be.
  if (!(error instanceof PanError)) throw error;
  out(`the comparison with SPIN ends here: ${error.message}`);
}
