/**
 * `npm run bench`: replay of a 1,000,000-line trace against grep over the same file, memory at two
 * lengths, and the time of a look into the past. Everything is measured in this run.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { replay } from '../../src/replay/replay.js';
import { writeLongTrace } from './long-trace.js';

const HOTRACE = findUp(path.dirname(fileURLToPath(import.meta.url)), 'dist/bin/hotrace.js');
const RUNS = 5;

function findUp(from: string, name: string): string {
  const here = path.join(from, name);
  return existsSync(here) ? here : findUp(path.dirname(from), name);
}

/** Milliseconds that `run` takes: the best and the median of RUNS. */
function timed(run: () => void): { best: number; median: number } {
  const times = Array.from({ length: RUNS }, () => {
    const begin = performance.now();
    run();
    return performance.now() - begin;
  }).sort((a, b) => a - b);
  return { best: times[0], median: times[Math.floor(RUNS / 2)] };
}

/** Peak resident memory of a `--check` run, MB. */
function peakMemory(file: string): number {
  const report =
    'data:text/javascript,process.on("exit",()=>process.stderr.write("rss="+process.resourceUsage().maxRSS))';
  const { stderr } = spawnSync(
    process.execPath,
    ['--import', report, HOTRACE, 'replay', '--check', file],
    { encoding: 'utf8' },
  );
  return Number(/rss=(\d+)/.exec(stderr)?.[1] ?? NaN) / 1024;
}

const ms = (n: number) => `${n.toFixed(0)} ms`;

const folder = mkdtempSync(path.join(tmpdir(), 'hotrace-bench-'));
try {
  const million = path.join(folder, 'million.txt');
  const bytes = await writeLongTrace(million, 1_000_000);
  process.stdout.write(`1,000,000 lines of ftrace text, ${(bytes / 1e6).toFixed(0)} MB\n`);

  const grep = timed(() => void spawnSync('grep', ['-c', 'iommu_', million]));
  const check = timed(() => {
    execFileSync(process.execPath, [HOTRACE, 'replay', '--check', million], { stdio: 'ignore' });
  });
  const whole = timed(() => {
    execFileSync(process.execPath, [HOTRACE, 'replay', million], { stdio: 'ignore' });
  });
  const allowed = 6 * grep.median + 500;
  process.stdout.write(
    `  grep -c iommu_            ${ms(grep.median)} median, ${ms(grep.best)} best\n` +
      `  hotrace replay --check    ${ms(check.median)} median, ${ms(check.best)} best: ` +
      `${(check.median / allowed).toFixed(2)} of 6 x grep + 500 ms (${ms(allowed)})\n` +
      `  hotrace replay (history)  ${ms(whole.median)} median, ${ms(whole.best)} best: ` +
      `${(whole.median / check.median).toFixed(2)} x --check\n`,
  );

  const four = path.join(folder, 'four-million.txt');
  await writeLongTrace(four, 4_000_000);
  const small = peakMemory(million);
  const large = peakMemory(four);
  process.stdout.write(
    `peak memory of --check: ${small.toFixed(0)} MB at 1,000,000 lines, ${large.toFixed(0)} MB at 4,000,000: ${(large / small).toFixed(2)} x\n`,
  );

  const { history, events, firstTime, lastTime } = await replay({ files: [million] });
  if (history === undefined) throw new Error('no history');
  const looks = Array.from({ length: 2000 }, () => {
    const time = firstTime + Math.random() * (lastTime - firstTime);
    const begin = performance.now();
    history.stateAt(time);
    return performance.now() - begin;
  }).sort((a, b) => a - b);
  process.stdout.write(
    `stateAt of a random moment in ${events.toLocaleString('en-US')} events: median ${looks[1000].toFixed(3)} ms, 99 % ${looks[1980].toFixed(3)} ms\n`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
