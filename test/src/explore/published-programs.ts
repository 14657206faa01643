/** The programs of exploration/programs.py and corner_cases.py, against the public API. */

import { mutexMachine } from '../../../machines/mutex.js';
import type { Entity, Scenario } from '../../../machines/scenario.js';
import { join, lock, send, spawn, unlock } from '../../../machines/step.js';
import type { Thread, ThreadBody } from '../../../machines/step.js';
import { variableMachine } from '../../../machines/variable.js';
import type { VariableReply } from '../../../machines/variable.js';

const zero = variableMachine(0);

function* r(v: string): Thread<number> {
  return (yield* send<VariableReply>(v, { type: 'read' })).value as number;
}
function* w(v: string, value: number): Thread<void> {
  yield* send(v, { type: 'write', value });
}
function* faa(v: string, value: number): Thread<void> {
  yield* send(v, { type: 'add', value });
}
function* cas(v: string, expected: number, value: number): Thread<boolean> {
  const event = { type: 'compare_and_swap', expected, value };
  return (yield* send<VariableReply>(v, event)).value as boolean;
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

function program(
  cells: readonly string[],
  mutexes: readonly string[],
  bodies: readonly ThreadBody[],
  initial: Readonly<Record<string, number>> = {},
): Scenario {
  const entities: [string, Entity][] = [
    ...cells.map((c): [string, Entity] => [c, c in initial ? variableMachine(initial[c]) : zero]),
    ...mutexes.map((m): [string, Entity] => [m, mutexMachine]),
  ];
  return {
    name: 'published',
    entities: Object.fromEntries(entities),
    threads: Object.fromEntries(bodies.map((body, t) => [`T${t}`, body])),
  };
}

interface Branch {
  readonly 0: 'if';
  readonly 1: string;
  readonly 2: number;
  readonly 3: readonly Op[];
  readonly 4: readonly Op[];
}
type Op = readonly ['w', string, number] | readonly ['r', string] | Branch;
const W = (v: string, n = 1): Op => ['w', v, n];
const R = (v: string): Op => ['r', v];
const I = (v: string, n: number, a: readonly Op[], b: readonly Op[] = []): Op => ['if', v, n, a, b];

function* ops(list: readonly Op[]): Thread<void> {
  for (const op of list) {
    if (op[0] === 'w') yield* w(op[1], op[2]);
    else if (op[0] === 'r') yield* r(op[1]);
    else yield* ops((yield* r(op[1])) === op[2] ? op[3] : op[4]);
  }
}
const corner = (...bodies: readonly (readonly Op[])[]) =>
  program(
    [...'abcvwxyz'],
    [],
    bodies.map((body) => () => ops(body)),
  );

const fab = (a: string, b: string, write: boolean): Op[] => [I(a, 1, [write ? W(b) : R(b)])];
const abc = (a: string, b: string, c: string): Op[] => [I(a, 0, [W(b, 1)], [W(c, 0)])];
const cr = [I('y', 0, [R('x'), W('y', 1)])];
const cr2 = [I('y', 0, [I('x', 1, [W('y', 1)])])];

const CORNERS: Readonly<Record<string, () => Scenario>> = {
  POPL_optimal_example: () =>
    corner([W('x')], [W('y')], [I('y', 0, [W('z')])], [I('z', 1, [I('y', 0, [W('x', 2)])])]),
  many_initials: () =>
    program(
      [...'xyz'],
      [],
      [
        () => w('x', 1),
        () => w('y', 1),
        () => w('z', 1),
        function* () {
          const y = yield* r('y');
          const z = yield* r('z');
          if (y === 1 && z === 1) yield* r('x');
        },
      ],
    ),
  sleeping_races_1: () => corner([W('y')], [W('x')], [I('x', 1, [R('y')])]),
  sleeping_races_2: () => corner([W('y')], [W('x')], [W('y', 2), I('x', 1, [R('y')])]),
  sleeping_races_3_read: () => corner([W('y')], [W('x')], [R('x')], [I('x', 1, [R('y')])]),
  sleeping_races_3_write: () => corner([W('y')], [W('x')], [W('x', 2)], [I('x', 0, [], [R('y')])]),
  sleeping_races_4: () => corner([W('y')], [W('x')], [R('x')], [I('x', 1, [R('y')])], [R('y')]),
  combination_lock_1: () =>
    corner(
      [W('z')],
      [W('x'), I('y', 1, [W('w')])],
      [I('x', 1, [W('y'), I('v', 1, [R('z')])])],
      [I('w', 1, [W('v')])],
    ),
  long_chain: () =>
    corner(
      [W('x'), W('w')],
      fab('x', 'y', true),
      fab('y', 'a', true),
      fab('a', 'b', true),
      fab('b', 'c', true),
      fab('c', 'z', true),
      fab('a', 'w', false),
      fab('z', 'w', false),
    ),
  depend_1: () =>
    corner([W('z')], [W('x')], [W('y')], [I('x', 1, [I('y', 1, [R('z')])])], [I('y', 1, [R('z')])]),
  depend_3: () =>
    corner(
      [W('z')],
      [W('x')],
      [W('y'), W('y', 2)],
      [I('x', 0, [], [I('y', 0, [], [R('z')])])],
      [I('y', 0, [], [R('z')])],
    ),
  depend_6: () => corner([R('y'), R('z')], [R('y')], [W('z')], [W('y'), W('y', 2)]),
  etsi: () => corner(abc('x', 'y', 'z'), abc('y', 'z', 'x'), abc('z', 'x', 'y')),
  etsi_2: () => corner([W('x')], [W('y'), R('x')], [I('x', 1, [R('y')])]),
  etsi_3: () => corner([W('y')], [R('z'), I('x', 0, [R('y')])], [W('x')]),
  conditional_readers: () => corner([W('x')], cr, cr),
  conditional_readers_2: () => corner([W('x')], cr2, cr2),
  conditional_readers_3: () => corner([W('x')], [I('y', 0, [R('x')])], [R('x'), W('y')]),
  not_prerequisite_1: () => corner([W('x'), W('y')], [I('y', 1, [R('x')])], [W('y')]),
  two_writers_readers_1: () => corner([W('x'), W('x', 2)], [R('y'), R('x')], [R('y'), R('x')]),
  two_writers_readers_2: () => corner([W('x')], [W('x', 2)], [R('y'), R('x')], [R('y'), R('x')]),
  hairbrush_teeth_1: () => corner([W('x'), W('x', 2)], [R('x'), R('x')]),
  diff_dep_1: () =>
    corner([W('x')], [W('y')], [W('z')], [I('z', 1, [R('x')])], [I('y', 1, [R('x')])]),
  diff_dep_3: () => corner([W('x')], [W('z')], [I('z', 1, [R('x')])], [R('x')]),
  complete_test_1: () =>
    corner([W('y')], [W('x')], [I('x', 0, [R('y')])], [R('x'), R('y')], [W('x', 2)]),
  manywrite_2: () =>
    corner(
      [W('w')],
      [W('x')],
      [W('y')],
      [W('x', 2)],
      [W('y', 2)],
      [W('z')],
      [W('z', 2)],
      [W('w', 2)],
    ),
};

const fib = (num: number, checker: boolean) =>
  program(
    ['x', 'y'],
    [],
    [
      ...['x', 'y'].map(
        (v): ThreadBody =>
          function* () {
            for (let i = 0; i < num; i++) {
              const a = yield* r('x');
              const b = yield* r('y');
              yield* w(v, a + b);
            }
          },
      ),
      ...(checker
        ? [
            function* () {
              if (!((yield* r('x')) > 144)) yield* r('y');
            },
          ]
        : []),
    ],
    { x: 1, y: 1 },
  );

/** `__VERIFIER_assume`: a thread for which it does not hold is left waiting. */
function* assume(holds: boolean): Thread<void> {
  if (!holds) yield* send('never', { type: 'await', value: 1 });
}

const szymanski = (own: string, other: string, x: number): ThreadBody =>
  function* () {
    yield* w(own, 1);
    yield* assume((yield* r(other)) < 3);
    yield* w(own, 3);
    if ((yield* r(other)) === 1) {
      yield* w(own, 2);
      yield* assume((yield* r(other)) === 4);
    }
    yield* w(own, 4);
    yield* assume((yield* r(other)) < 2);
    yield* w('x', x);
    yield* r('x');
    yield* r('x');
    yield* assume((yield* r(other)) < 2 || (yield* r(other)) > 3);
    yield* w(own, 0);
  };

const peterson = (own: string, other: string, turn: number, x: number): ThreadBody =>
  function* () {
    yield* w(own, 1);
    yield* w('turn', turn);
    yield* assume((yield* r(other)) !== 1 || (yield* r('turn')) !== turn);
    yield* w('x', x);
    yield* r('x');
    yield* w(own, 0);
  };

/** lamport_n.c: the fast mutex of Lamport 1987. */
const lamport = (n: number, me: number): ThreadBody =>
  function* () {
    for (;;) {
      yield* w(`b${me}`, 1);
      yield* w('x', me);
      if ((yield* r('y')) !== 0) {
        yield* w(`b${me}`, 0);
        yield* assume((yield* r('y')) === 0);
        continue;
      }
      yield* w('y', me);
      if ((yield* r('x')) !== me) {
        yield* w(`b${me}`, 0);
        for (let j = 1; j <= n; j++) yield* assume((yield* r(`b${j}`)) === 0);
        if ((yield* r('y')) !== me) {
          yield* assume((yield* r('y')) === 0);
          continue;
        }
      }
      break;
    }
    yield* w('y', 0);
    yield* w(`b${me}`, 0);
  };

/** By family: its program for the published parameters. */
export const PROGRAMS: Readonly<Record<string, (...params: number[]) => Scenario>> = {
  readers: (n) => program(['x'], [], [() => w('x', 42), ...range(n).map(() => () => r('x'))]),
  lastzero: (n) =>
    program(
      range(n + 1).map((i) => `a${i}`),
      [],
      [
        function* () {
          let i = n;
          while ((yield* r(`a${i}`)) !== 0) i--;
        },
        ...range(n).map(
          (j): ThreadBody =>
            function* () {
              const v = yield* r(`a${j}`);
              yield* w(`a${j + 1}`, v + 1);
            },
        ),
      ],
    ),
  indexer: (n) =>
    program(
      range(128).map((i) => `t${i}`),
      [],
      range(n).map(
        (tid): ThreadBody =>
          function* () {
            for (let i = 0; i < 4; i++) {
              const word = i * 11 + tid;
              let h = (word * 7) % 128;
              while (!(yield* cas(`t${h}`, 0, word === 0 ? -1 : word))) h = (h + 1) % 128;
            }
          },
      ),
    ),
  filesystem: (n) =>
    program(
      [...range(32).map((i) => `ino${i}`), ...range(26).map((i) => `busy${i}`)],
      [...range(32).map((i) => `i${i}`), ...range(26).map((i) => `b${i}`)],
      range(n).map(
        (tid): ThreadBody =>
          function* () {
            const i = tid % 32;
            yield* lock(`i${i}`);
            if ((yield* r(`ino${i}`)) === 0) {
              let b = (i * 2) % 26;
              for (;;) {
                yield* lock(`b${b}`);
                if ((yield* r(`busy${b}`)) === 0) {
                  yield* w(`busy${b}`, 1);
                  yield* w(`ino${i}`, b + 1);
                  yield* unlock(`b${b}`);
                  break;
                }
                yield* unlock(`b${b}`);
                b = (b + 1) % 26;
              }
            }
            yield* unlock(`i${i}`);
          },
      ),
    ),
  ainc: (n) =>
    program(
      ['x'],
      [],
      range(n).map(() => () => faa('x', 1)),
    ),
  binc: (n) =>
    program(
      ['x', 'y'],
      [],
      range(n).map(
        (): ThreadBody =>
          function* () {
            yield* faa('x', 1);
            yield* faa('y', 1);
          },
      ),
    ),
  cinc: (n) =>
    program(
      ['x', 'y', 'z'],
      [],
      range(n).map(
        (): ThreadBody =>
          function* () {
            yield* faa('x', 1);
            yield* faa('y', 1);
            yield* faa('z', 1);
          },
      ),
    ),
  rw: (n) =>
    program(
      ['x'],
      [],
      range(n).map(
        (t): ThreadBody =>
          function* () {
            yield* r('x');
            yield* w('x', t);
          },
      ),
    ),
  lockinc: (n) =>
    program(
      ['x'],
      ['m'],
      range(n).map(
        (): ThreadBody =>
          function* () {
            yield* lock('m');
            const v = yield* r('x');
            yield* w('x', v + 1);
            yield* unlock('m');
          },
      ),
    ),
  cas: (n) =>
    program(
      ['x'],
      [],
      range(n).map((t) => () => cas('x', 0, t + 1)),
    ),
  casrot: (n) =>
    program(
      ['x'],
      [],
      range(n).map((t) => () => cas('x', t, t + 1)),
    ),
  nwriters: (n) => program(['x'], [], [...range(n).map((t) => () => w('x', t)), () => r('x')]),
  'fib_bench+checker': (n) => fib(n, true),
  fib_bench: (n) => fib(n, false),
  big0: () =>
    program(
      [...'xyzw'],
      [],
      [
        function* () {
          for (const v of 'xyzwxyz') yield* r(v);
        },
        function* () {
          for (const v of 'xyz') yield* r(v);
        },
        function* () {
          for (const i of [1, 2, 3]) {
            yield* w('x', i);
            yield* w('y', i);
          }
        },
        function* () {
          for (const i of [1, 2, 3]) {
            yield* w('z', i);
            yield* w('w', i);
          }
        },
      ],
    ),
  casw: (n) =>
    program(
      ['x'],
      [],
      range(n).map(
        (t): ThreadBody =>
          function* () {
            yield* cas('x', 0, 1);
            yield* w('x', t + 3);
          },
      ),
    ),
  eratosthenes: (n) =>
    program(
      range(n).map((i) => `n${i}`),
      [],
      range(2).map(
        (): ThreadBody =>
          function* () {
            for (let i = 0; i < n; i++) {
              if ((yield* r(`n${i}`)) !== 0) continue;
              yield* w(`n${i}`, 1);
              for (let j = 2 * i + 2; j < n; j += i + 2) yield* w(`n${j}`, 2);
            }
          },
      ),
    ),
  szymanski: () =>
    program(
      ['x', 'flag1', 'flag2', 'never'],
      [],
      [szymanski('flag1', 'flag2', 0), szymanski('flag2', 'flag1', 1)],
    ),
  'peterson-sc': () =>
    program(
      ['x', 'flag1', 'flag2', 'turn', 'never'],
      [],
      [peterson('flag1', 'flag2', 1, 0), peterson('flag2', 'flag1', 0, 1)],
    ),
  lamport: (n) =>
    program(
      ['x', 'y', 'never', ...range(n).map((i) => `b${i + 1}`)],
      [],
      range(n).map((i) => lamport(n, i + 1)),
    ),
  mpat: (k) =>
    program(
      [],
      ['mi', ...range(k).map((i) => `a${i}`)],
      range(k).flatMap((i): ThreadBody[] => [
        function* () {
          yield* lock(`a${i}`);
          yield* unlock(`a${i}`);
        },
        function* () {
          yield* lock('mi');
          yield* lock(`a${i}`);
          yield* unlock(`a${i}`);
          yield* unlock('mi');
        },
      ]),
    ),
  philosophers_deadlocking: (n) =>
    program(
      [],
      range(n).map((i) => `f${i}`),
      range(n).map(
        (i): ThreadBody =>
          function* () {
            yield* lock(`f${i}`);
            yield* lock(`f${(i + 1) % n}`);
            yield* unlock(`f${i}`);
            yield* unlock(`f${(i + 1) % n}`);
          },
      ),
    ),
  ssbexp: (k) =>
    program(
      ['i'],
      ['mi', ...range(k).map((i) => `a${i}`)],
      [
        ...range(k).map(
          (i): ThreadBody =>
            function* () {
              yield* lock(`a${i}`);
              yield* unlock(`a${i}`);
            },
        ),
        function* () {
          for (let v = 1; v < k; v++) {
            yield* lock('mi');
            yield* w('i', v);
            yield* unlock('mi');
          }
        },
        function* () {
          yield* lock('mi');
          const i = yield* r('i');
          yield* unlock('mi');
          yield* lock(`a${i}`);
          yield* unlock(`a${i}`);
        },
      ],
    ),
  dispatcher: (servers, requests) =>
    program(
      ['sid', ...range(servers).flatMap((i) => [`in${i}`, `out${i}`])],
      ['k', ...range(servers).map((i) => `s${i}`)],
      [
        function* () {
          for (let request = 0; request < requests; request++) {
            const picker = yield* spawn(function* () {
              for (let v = 0; v < servers; v++) {
                yield* lock('k');
                yield* w('sid', v);
                yield* unlock('k');
              }
            });
            yield* lock('k');
            const i = yield* r('sid');
            yield* unlock('k');
            yield* lock(`s${i}`);
            const v = yield* r(`in${i}`);
            yield* w(`in${i}`, v + 1);
            yield* unlock(`s${i}`);
            yield* join(picker);
          }
        },
        ...range(servers).map(
          (i): ThreadBody =>
            function* () {
              yield* lock(`s${i}`);
              const v = yield* r(`in${i}`);
              if (v > 0) yield* w(`out${i}`, v);
              yield* unlock(`s${i}`);
            },
        ),
      ],
    ),
  multipc: (producers, workers) =>
    program(
      ['buf', ...range(workers).map((i) => `q${i}`)],
      ['p', ...range(workers).map((i) => `w${i}`)],
      [
        ...range(workers).map(
          (i): ThreadBody =>
            function* () {
              for (let task = 0; task < 2; task++) {
                yield* lock(`w${i}`);
                const v = yield* r(`q${i}`);
                if (v !== 0) yield* w(`q${i}`, v - 1);
                yield* unlock(`w${i}`);
              }
            },
        ),
        ...range(producers).map(
          (i): ThreadBody =>
            function* () {
              let item = 0;
              for (let n = 0; n < 2; n++) {
                yield* lock('p');
                const b = yield* r('buf');
                item = b * producers + i;
                yield* w('buf', item);
                yield* unlock('p');
              }
              const to = item % workers;
              yield* lock(`w${to}`);
              const v = yield* r(`q${to}`);
              yield* w(`q${to}`, v + 1);
              yield* unlock(`w${to}`);
            },
        ),
      ],
    ),
  two_by_two_same_order: () => corner([W('a', 1), W('b', 2)], [W('a', 3), W('b', 4)]),
  two_by_two_swapped: () => corner([W('a', 1), W('b', 2)], [W('b', 3), W('a', 4)]),
  ...Object.fromEntries(
    Object.entries(CORNERS).map(([name, make]) => [`concuerror/${name}`, make]),
  ),
};
