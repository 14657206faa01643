import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assign,
  createActor,
  createMachine,
  emit,
  initialTransition,
  StateMachine,
  transition,
} from 'xstate';
import type { AnyEventObject, AnyStateMachine, EventObject, SnapshotFrom } from 'xstate';
import { deviceMachine } from '../../machines/device.js';
import { ImpureMachineError, InternedMachine } from '../../machines/intern.js';
import { PROFILES } from '../../machines/profiles/timeline.js';
import { brokenRule } from './walk.js';

interface Subject {
  readonly name: string;
  readonly machine: AnyStateMachine;
  readonly alphabet: readonly string[];
}

const ROOM = new URL('../../machines/', import.meta.url);

/** An event is more than its type for them: of a nameless thread, without an id or a word. */
const NEEDS_FIELDS = new Set([
  'rwsemMachine',
  'rcuMachine',
  'idaMachine',
  'tableEntryMachine',
  'nullPointerMachine',
  'xarrayMachine',
  'iovaDomainMachine',
  'pageTableMachine',
  'iotlbMachine',
]);

/** Every machine that a module of machines/ exports, with the alphabet exported beside it. */
async function exportedMachines(): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const file of readdirSync(ROOM).filter((name) => name.endsWith('.ts'))) {
    const module = (await import(new URL(file, ROOM).href)) as Record<string, unknown>;
    const alphabets = Object.entries(module).filter(([name]) => name.endsWith('_EVENTS'));
    for (const [name, value] of Object.entries(module)) {
      if (!(value instanceof StateMachine) || NEEDS_FIELDS.has(name)) continue;
      const machine = value as unknown as AnyStateMachine;
      const alphabet = alphabets[0]?.[1] as readonly string[] | undefined;
      subjects.push({ name, machine, alphabet: alphabet ?? (machine.events as string[]) });
    }
  }
  return subjects;
}

const SUBJECTS: readonly Subject[] = [
  ...(await exportedMachines()),
  ...PROFILES.map((profile) => {
    const machine = deviceMachine(profile);
    return { name: `device of ${profile.name}`, machine, alphabet: machine.events as string[] };
  }),
];

/** Echoes what it was told and counts to three: context, payload and replies in one machine. */
const echo: AnyStateMachine = createMachine({
  id: 'echo',
  initial: 'open',
  context: { heard: 0 },
  states: {
    open: {
      on: {
        say: {
          target: 'open',
          guard: ({ context }: { context: { heard: number } }) => context.heard < 3,
          actions: [
            assign(({ context }: { context: { heard: number } }) => ({ heard: context.heard + 1 })),
            emit(({ event }: { event: AnyEventObject }) => ({
              type: 'said',
              word: event['word'] as string,
            })),
            emit({ type: 'done' }),
          ],
        },
        shut: { target: 'shut', actions: emit({ type: 'done' }) },
      },
    },
    shut: { tags: ['closed'], type: 'final' },
  },
});

/** What `emit` asked for in a list of actions of transition(). */
function emitted(actions: readonly unknown[]): AnyEventObject[] {
  return (actions as { type: string; params: { event: AnyEventObject } }[])
    .filter((action) => action.type === 'xstate.emit')
    .map((action) => action.params.event);
}

/** What a snapshot says, without its links to the machine. */
function visible(snapshot: SnapshotFrom<AnyStateMachine>) {
  return {
    value: snapshot.value as unknown,
    context: snapshot.context as unknown,
    tags: [...snapshot.tags],
    status: snapshot.status as string,
  };
}

/** Drives the interned machine, transition() and an actor with the same events. */
function agree(machine: AnyStateMachine, events: readonly AnyEventObject[], alphabet: string[]) {
  const interned = new InternedMachine(machine, alphabet);
  const actor = createActor(machine);
  const heard: AnyEventObject[] = [];
  actor.on('*', (event: AnyEventObject) => heard.push(event));
  actor.start();
  let [plain] = initialTransition(machine);
  let state = interned.initial;
  for (const event of events) {
    const [next, actions] = transition(machine, plain, event);
    const id = interned.event(event);
    const from = state;
    state = interned.next(from, id);

    expect(interned.accepts(from, id)).toBe(plain.can(event));
    expect(interned.replies(from, id)).toEqual(emitted(actions));
    expect(visible(interned.snapshot(state))).toEqual(visible(next));
    expect(interned.context(state)).toEqual(next.context);
    expect(interned.broken(state)).toBe(brokenRule(next));

    if (actor.getSnapshot().status === 'active') {
      heard.length = 0;
      actor.send(event);
      expect(heard).toEqual(interned.replies(from, id));
      expect(visible(actor.getSnapshot())).toEqual(visible(next));
    }
    plain = next;
  }
  return interned;
}

describe('an interned machine agrees with plain xstate', () => {
  it('covers every machine of the room', () => {
    expect(SUBJECTS.map((s) => s.name)).toEqual(
      expect.arrayContaining(['membershipMachine', 'ueventsMachine', 'device of v7.2']),
    );
    expect(SUBJECTS.length).toBeGreaterThanOrEqual(10 + PROFILES.length);
  });

  it.each(SUBJECTS)('$name, over random events', ({ machine, alphabet }) => {
    let largest = 0;
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...alphabet, 'no such event'), { maxLength: 25 }),
        (types) => {
          const events = types.map((type) => ({ type }));
          largest = Math.max(largest, agree(machine, events, [...alphabet]).size);
        },
      ),
      { numRuns: 150 },
    );
    expect(largest).toBeLessThanOrEqual(26);
  });

  it.each(SUBJECTS)('$name accepts nothing but the events that it exports', (subject) => {
    expect([...subject.alphabet]).toEqual(
      expect.arrayContaining((subject.machine.events as string[]).filter((e) => e !== '')),
    );
    expect(new Set(subject.alphabet).size).toBe(subject.alphabet.length);
  });

  it('over payloads, guards, context and replies', () => {
    const event = fc.oneof(
      fc.record({ type: fc.constant('say'), word: fc.constantFrom('a', 'b', '__proto__') }),
      fc.constant({ type: 'shut' }),
      fc.constant({ type: 'unheard of' }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        agree(echo, events, []);
      }),
    );
  });
});

/** An event of `echo`. */
function say(payload: Record<string, unknown>): EventObject {
  return { type: 'say', ...payload };
}

describe('snapshots', () => {
  /** The group counts its members: its context has no bound of its own. */
  const bounded = SUBJECTS.filter(({ machine }) => machine.id !== 'group');

  it.each(bounded)('of $name are few, however long the run', ({ machine, alphabet }) => {
    const interned = new InternedMachine(machine, alphabet);
    for (let known = 0; known < interned.size; known++) {
      for (let event = 0; event < alphabet.length; event++) interned.next(known, event);
      expect(interned.size).toBeLessThanOrEqual(256);
    }
  });

  it('of the group are as many as it has members', () => {
    const { machine, alphabet } = SUBJECTS.find((s) => s.machine.id === 'group')!;
    const interned = new InternedMachine(machine, alphabet);
    const add = alphabet.indexOf('add');
    let state = interned.next(interned.initial, add);
    for (let n = 0; n < 20; n++) state = interned.next(state, add);
    const once = interned.size;
    expect(once).toBe(22);
    state = interned.initial;
    for (let n = 0; n < 21; n++) state = interned.next(state, add);
    expect(interned.size).toBe(once);
  });

  it('have the initial one as number 0 and equal ones the same number', () => {
    const interned = new InternedMachine(echo);
    const x = interned.event(say({ word: 'x' }));
    const hush = interned.event({ type: 'hush' });
    expect(interned.initial).toBe(0);
    expect(interned.next(0, hush)).toBe(0);
    const one = interned.next(0, x);
    expect(one).not.toBe(0);
    expect(interned.next(0, interned.event(say({ word: 'y' })))).toBe(one);
    expect(interned.size).toBe(2);
  });

  it.each(SUBJECTS)('of $name do not change for an unknown event', ({ machine, alphabet }) => {
    const interned = new InternedMachine(machine, alphabet);
    const unknown = interned.event({ type: 'no such event' });
    let state = interned.initial;
    for (const type of alphabet) {
      expect(interned.next(state, unknown)).toBe(state);
      expect(interned.accepts(state, unknown)).toBe(false);
      expect(interned.replies(state, unknown)).toEqual([]);
      state = interned.next(state, interned.event({ type }));
    }
    expect(interned.next(state, unknown)).toBe(state);
  });
});

describe('events', () => {
  it('get the ids of the alphabet in its order', () => {
    const interned = new InternedMachine(echo, ['say', 'shut']);
    expect([interned.event({ type: 'say' }), interned.event({ type: 'shut' })]).toEqual([0, 1]);
    expect(interned.event(say({ word: 'a' }))).toBe(2);
  });

  it('are one when type and payload are equal, in any order of keys', () => {
    const interned = new InternedMachine(echo);
    const a = interned.event(say({ word: 'a', loud: true }));
    expect(interned.event({ loud: true, word: 'a', type: 'say' } as AnyEventObject)).toBe(a);
    expect(interned.event(say({ word: 'a', loud: false }))).not.toBe(a);
  });
});

describe('a machine that is not pure', () => {
  /** A different answer at each call, as a random number or a clock would give. */
  function unstable(): () => number {
    let n = 0;
    return () => n++;
  }
  const guardTick = unstable();
  const assignTick = unstable();
  const guesses: AnyStateMachine = createMachine({
    id: 'guesses',
    initial: 'a',
    states: {
      a: { on: { go: [{ guard: () => guardTick() % 2 === 0, target: 'b' }, { target: 'c' }] } },
      b: {},
      c: {},
    },
  });
  const dices: AnyStateMachine = createMachine({
    id: 'dices',
    context: { n: 0 },
    on: { go: { actions: assign({ n: () => assignTick() }) } },
  });
  const random: AnyStateMachine = createMachine({
    id: 'random',
    context: { n: 0 },
    on: { go: { actions: assign({ n: () => Math.random() }) } },
  });

  it.each([guesses, dices, random])('is refused: $id', (machine) => {
    const interned = new InternedMachine(machine, ['go']);
    let error: unknown;
    try {
      interned.next(0, 0);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ImpureMachineError);
    expect(error).toMatchObject({
      name: 'ImpureMachineError',
      machine: machine.id,
      event: { type: 'go' },
    });
    expect((error as Error).message).toContain(`"${machine.id}"`);
  });

  // compute() compares the two snapshots and not the two lists of replies.
  it('is refused when only its replies differ', () => {
    const tick = unstable();
    const machine: AnyStateMachine = createMachine({
      id: 'babbles',
      on: { go: { actions: emit(() => ({ type: 'reply', n: tick() })) } },
    });
    const interned = new InternedMachine(machine, ['go']);
    expect(() => interned.next(0, 0)).toThrow(ImpureMachineError);
  });
});
