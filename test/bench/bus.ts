/**
 * `call` through four synchronous blocks beside a plain loop over an array of four functions and an
 * rxjs Subject with four subscribers: cost of one delivery, each measured in this run. Alternating
 * rounds, so that what else the machine does hits all of them; the median of the rounds.
 */

import { Subject } from 'rxjs';
import type { NotifierKind } from '../../machines/profiles/profile.js';
import { PROFILES } from '../../machines/profiles/timeline.js';
import { NotifierChain } from '../../src/bus/notifier-chain.js';

const BLOCKS = 4;
const CALLS = 100_000;
const ROUNDS = 21;
const GOAL = 3;

interface Payload {
  readonly dev: string;
}

let sum = 0;
const listen = (action: number, payload: Payload): number => {
  sum += action + payload.dev.length;
  return 0;
};
const payload: Payload = { dev: '0000:00:01.0' };

/** `deliveries`: to a fifth listener, who hears what the four blocks were told. */
function chain(kind: NotifierKind, deliveries = false): () => void {
  const profile = PROFILES[PROFILES.length - 1];
  const chain = new NotifierChain<Payload>({ kind, name: kind, profile });
  for (let n = 0; n < BLOCKS; n++) {
    const call = (action: number, payload: Payload) => listen(action, payload);
    chain.register({ name: `block ${n}`, call });
  }
  const emitted = () => {
    sum++;
  };
  return deliveries
    ? () => void chain.call(1, payload).subscribe(emitted)
    : () => void chain.call(1, payload).subscribe();
}

function loop(): () => void {
  const listeners = Array.from(
    { length: BLOCKS },
    () => (action: number, payload: Payload) => listen(action, payload),
  );
  return () => {
    for (const listener of listeners) if ((listener(1, payload) & 0x8000) !== 0) break;
  };
}

/** `deliveries`: each subscriber reports on a second subject, which has one subscriber. */
function subject(deliveries = false): () => void {
  const subject = new Subject<{ readonly action: number; readonly payload: Payload }>();
  const reports = new Subject<{ readonly action: number; readonly ret: number }>();
  reports.subscribe(({ ret }) => {
    sum += ret + 1;
  });
  for (let n = 0; n < BLOCKS; n++) {
    subject.subscribe(({ action, payload }) => {
      const ret = listen(action, payload);
      if (deliveries) reports.next({ action, ret });
    });
  }
  return () => subject.next({ action: 1, payload });
}

const contenders: readonly (readonly [name: string, run: () => void])[] = [
  ['plain loop', loop()],
  ['Subject', subject()],
  ['raw chain', chain('raw')],
  ['blocking chain', chain('blocking')],
  ['atomic chain', chain('atomic')],
  ['srcu chain', chain('srcu')],
  ['Subject, and who hears of its deliveries', subject(true)],
  ['blocking chain, and who hears its deliveries', chain('blocking', true)],
];

const times = new Map<string, number[]>(contenders.map(([name]) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of contenders) {
    const begin = process.hrtime.bigint();
    for (let n = 0; n < CALLS; n++) run();
    times.get(name)!.push(Number(process.hrtime.bigint() - begin) / (CALLS * BLOCKS));
  }
}
if (sum === 0) throw new Error('nobody listened');

/** ns for one delivery, warm-up rounds left out. */
const cost = (name: string): number => {
  const sorted = times
    .get(name)!
    .slice(3)
    .sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
};
process.stdout.write(`one delivery through ${BLOCKS} synchronous blocks\n`);
for (const [name] of contenders) {
  const ns = cost(name);
  const heard = name.includes('deliveries');
  const ratio = ns / cost(heard ? 'Subject, and who hears of its deliveries' : 'Subject');
  const goal = name.includes('chain') ? `, goal at most ${GOAL}` : '';
  process.stdout.write(
    `  ${name.padEnd(46)}${ns.toFixed(1).padStart(7)} ns  ${(ns / cost('plain loop')).toFixed(1)} x loop  ${ratio.toFixed(2)} x Subject${goal}\n`,
  );
}
