/**
 * One search of the storm in a process of its own, so that nothing is warm: prints what it took as
 * JSON. `node storm-process.js LISTENER DEVICES WARM`, WARM: how often it is searched again, in six
 * seconds at most; of these the later half counts, when the compiler has settled.
 */

import { median, searchStorm } from './hotrace-storm.js';
import type { StormRun } from './hotrace-storm.js';

const [listener, devices, warm] = process.argv.slice(2);
const search = () => searchStorm(Number(devices), listener === 'accepts' ? 'accepts' : 'remembers');
const cold = search();
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
const again: number[] = [];
const until = performance.now() + 6000;
while (again.length < Number(warm) && performance.now() < until) again.push(search().ms);
const run: StormRun = {
  ...cold,
  whole: (userCPUTime + systemCPUTime) / 1000,
  resident: maxRSS / 1024,
  ...(again.length > 0 ? { warm: median(again.slice(again.length >> 1)) } : {}),
};
process.stdout.write(JSON.stringify(run));
