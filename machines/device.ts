/**
 * A device as its bus notifications show it: the automaton of B.3.
 *
 * States are the driver core's: `idle` (added, no driver), `binding`, `bound`, `unbinding`,
 * `removed`; `adding` is inside device_add before ADD_DEVICE; `unknown` is a device that the trace
 * finds in the middle of its life. DEL_DEVICE is not serialised with probing, so it is a second
 * axis: each state has a `Deleted` twin. An `Early` twin is a device that a driver reached before
 * its ADD_DEVICE.
 *
 * A notification that the generation cannot send leads to `violated.<state>`, which is tagged
 * `violation`, carries the broken rule, and goes on as `<state>`: the event that broke the rule
 * still says where the device is now.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { BUS_ACTIONS } from '../events/actions.js';
import type { Says } from './intern.js';
import type { KernelProfile } from './profiles/profile.js';

/** What a device machine hears: BUS_NOTIFY_* and the entry of device_add. */
export const DEVICE_EVENTS = [...BUS_ACTIONS, 'device_add', 'lost'] as const;
export type DeviceEvent = (typeof DEVICE_EVENTS)[number];

type Alive = 'idle' | 'binding' | 'bound' | 'unbinding';
const ALIVE: readonly Alive[] = ['idle', 'binding', 'bound', 'unbinding'];

/**
 * `Early`: before ADD_DEVICE, though the driver core should not have come that far (K10).
 * `Unsure`: the trace began, or lost events, where DEL_DEVICE may have been sent already.
 */
const PHASES = ['', 'Early', 'Unsure', 'Deleted'] as const;

/** Where a device can be. */
export type DeviceLife =
  'unknown' | 'unknownDeleted' | 'adding' | `${Alive}${(typeof PHASES)[number]}` | 'removed';

/** A state of the machine in words: `violated.boundDeleted …` is "bound, DEL sent". */
export function lifeText(state: string): string {
  const life = state.replace(/^violated\.(\w+).*$/, '$1');
  const phase = PHASES.find((p) => p !== '' && life.endsWith(p));
  const alive = phase === undefined ? life : life.slice(0, -phase.length);
  switch (phase) {
    case 'Deleted':
      return `${alive}, DEL sent`;
    case 'Early':
      return `${alive} before its ADD`;
    default:
      return alive;
  }
}

/** The rules that this automaton can see broken. */
export type DeviceRule = 'INV-01b' | 'INV-07' | 'INV-08' | 'INV-09' | 'B.3';

interface Step {
  readonly to: DeviceLife;
  /** The rule that taking this step breaks. */
  readonly breaks?: DeviceRule;
}

/** The state that a notification proves, whatever was before. */
const PROVES: Record<
  Exclude<DeviceEvent, 'lost' | 'device_add' | 'DEL_DEVICE' | 'REMOVED_DEVICE'>,
  Alive
> = {
  ADD_DEVICE: 'idle',
  BIND_DRIVER: 'binding',
  BOUND_DRIVER: 'bound',
  UNBIND_DRIVER: 'unbinding',
  UNBOUND_DRIVER: 'idle',
  DRIVER_NOT_BOUND: 'idle',
};

/** The steps of B.3 for one generation: state → event → step. */
function deviceSteps(
  profile: KernelProfile,
): Readonly<Record<DeviceLife, Readonly<Record<DeviceEvent, Step>>>> {
  const table = {} as Record<DeviceLife, Record<DeviceEvent, Step>>;

  const row = (life: DeviceLife, steps: Record<DeviceEvent, Step>) => {
    table[life] = steps;
  };

  for (const phase of PHASES) {
    const deleted = phase === 'Deleted';
    const maybeDeleted = deleted || phase === 'Unsure';
    const at = (life: Alive): DeviceLife => `${life}${phase}`;
    const add = (from: Alive): Step => {
      // Bound before its ADD: that was told when it happened, the ADD only comes late.
      if (phase === 'Early') return { to: from };
      if (maybeDeleted && over(profile, from)) return { to: 'idle' };
      return { to: 'idle', breaks: 'B.3' };
    };
    const bindFrom = (from: Alive): Step => {
      if (deleted && profile.deadFlag) return { to: at('binding'), breaks: 'INV-07' };
      // Where no driver binds after DEL_DEVICE, one that binds proves that it was not sent.
      const to: DeviceLife = phase === 'Unsure' && profile.deadFlag ? 'binding' : at('binding');
      if (from === 'idle') return { to };
      // A silent probe failure (no DRIVER_NOT_BOUND yet) leaves nothing between two BINDs.
      if (from === 'binding' && !profile.notBound) return { to };
      return { to, breaks: 'B.3' };
    };
    for (const from of ALIVE) {
      row(at(from), {
        ADD_DEVICE: add(from),
        DEL_DEVICE: deleted ? { to: at(from), breaks: 'B.3' } : { to: `${from}Deleted` },
        REMOVED_DEVICE: !profile.removedDevice
          ? { to: 'removed', breaks: 'B.3' }
          : !(from === 'idle' || (from === 'binding' && !profile.notBound))
            ? { to: 'removed', breaks: 'INV-09' }
            : maybeDeleted
              ? { to: 'removed' }
              : { to: 'removed', breaks: 'B.3' },
        BIND_DRIVER: bindFrom(from),
        BOUND_DRIVER: from === 'binding' ? { to: at('bound') } : { to: at('bound'), breaks: 'B.3' },
        UNBIND_DRIVER:
          from === 'bound' ? { to: at('unbinding') } : { to: at('unbinding'), breaks: 'B.3' },
        UNBOUND_DRIVER:
          from === 'unbinding' ? { to: at('idle') } : { to: at('idle'), breaks: 'B.3' },
        DRIVER_NOT_BOUND: notBound(profile, from, at('idle')),
        // A name is taken while its device lives: this device_add is of a second one and fails.
        device_add:
          deleted && !profile.removedDevice && from === 'idle'
            ? { to: 'adding' }
            : { to: at(from) },
        lost: { to: 'unknown' },
      });
    }
  }

  /** Before any notification fixed the state, each one is believed. */
  const believed = (deleted: boolean): Record<DeviceEvent, Step> => {
    const at = (life: Alive): DeviceLife => `${life}${deleted ? 'Deleted' : 'Unsure'}`;
    return {
      ADD_DEVICE:
        deleted && profile.removedDevice ? { to: 'idle', breaks: 'INV-01b' } : { to: 'idle' },
      DEL_DEVICE: deleted ? { to: 'unknownDeleted', breaks: 'B.3' } : { to: 'unknownDeleted' },
      REMOVED_DEVICE: profile.removedDevice ? { to: 'removed' } : { to: 'removed', breaks: 'B.3' },
      BIND_DRIVER:
        deleted && profile.deadFlag
          ? { to: at('binding'), breaks: 'INV-07' }
          : { to: profile.deadFlag ? 'binding' : at('binding') },
      BOUND_DRIVER: { to: at('bound') },
      UNBIND_DRIVER: { to: at('unbinding') },
      UNBOUND_DRIVER: { to: at('idle') },
      DRIVER_NOT_BOUND: profile.notBound ? { to: at('idle') } : { to: at('idle'), breaks: 'B.3' },
      device_add: deleted ? { to: 'unknownDeleted' } : { to: 'adding' },
      lost: { to: 'unknown' },
    };
  };
  row('unknown', believed(false));
  row('unknownDeleted', believed(true));

  const first = (to: DeviceLife): Step => ({ to, breaks: 'INV-01b' });
  row('adding', {
    ADD_DEVICE: { to: 'idle' },
    DEL_DEVICE: first('unknownDeleted'),
    REMOVED_DEVICE: first('removed'),
    BIND_DRIVER: first('bindingEarly'),
    BOUND_DRIVER: first('boundEarly'),
    UNBIND_DRIVER: first('unbindingEarly'),
    UNBOUND_DRIVER: first('idleEarly'),
    DRIVER_NOT_BOUND: first('idleEarly'),
    device_add: { to: 'adding' },
    lost: { to: 'unknown' },
  });

  const after = (event: keyof typeof PROVES): Step => ({
    to: `${PROVES[event]}Deleted`,
    breaks: event === 'BIND_DRIVER' && profile.deadFlag ? 'INV-07' : 'B.3',
  });
  row('removed', {
    ADD_DEVICE: { to: 'idle' },
    DEL_DEVICE: { to: 'removed', breaks: 'B.3' },
    REMOVED_DEVICE: { to: 'removed', breaks: 'B.3' },
    BIND_DRIVER: after('BIND_DRIVER'),
    BOUND_DRIVER: after('BOUND_DRIVER'),
    UNBIND_DRIVER: after('UNBIND_DRIVER'),
    UNBOUND_DRIVER: after('UNBOUND_DRIVER'),
    DRIVER_NOT_BOUND: after('DRIVER_NOT_BOUND'),
    device_add: { to: 'adding' },
    lost: { to: 'unknown' },
  });
  return table;
}

/**
 * Whether a deleted device may be gone: without REMOVED_DEVICE nothing marks its end, and a probe
 * that failed without a DRIVER_NOT_BOUND still looks like binding.
 */
function over(profile: KernelProfile, from: Alive): boolean {
  if (profile.removedDevice) return false;
  return from === 'idle' || (from === 'binding' && !profile.notBound);
}

/** NOT_BOUND: after BIND always; from idle where a failing dma_configure could send it (K07). */
function notBound(profile: KernelProfile, from: Alive, to: DeviceLife): Step {
  if (!profile.notBound) return { to, breaks: 'B.3' };
  if (from === 'binding') return { to };
  if (from === 'idle' && !profile.notBoundNeedsBind) return { to };
  return { to, breaks: profile.notBoundNeedsBind ? 'INV-08' : 'B.3' };
}

const SAYS: Readonly<Record<Exclude<DeviceRule, 'B.3'>, Says>> = {
  'INV-01b': ({ entity, event }) => `${entity}: ${event.type} before any ADD_DEVICE`,
  'INV-07': ({ entity, event }) => `${entity}: ${event.type} after DEL_DEVICE`,
  'INV-08': ({ entity, event }) => `${entity}: ${event.type} without BIND_DRIVER before it`,
  'INV-09': ({ entity, event }) => `${entity}: ${event.type} while a driver is bound`,
};

/** Of B.3, which is broken by what the device was. */
function says(rule: DeviceRule, from: DeviceLife): Says {
  if (rule !== 'B.3') return SAYS[rule];
  return ({ entity, event }) => `${entity}: ${event.type} of a device that is ${lifeText(from)}`;
}

/** The rules that an event puts to the test, besides B.3 which each one does. */
export const RULES_TESTED_BY: Readonly<Partial<Record<DeviceEvent, readonly DeviceRule[]>>> = {
  ADD_DEVICE: ['INV-01b'],
  BIND_DRIVER: ['INV-07'],
  DRIVER_NOT_BOUND: ['INV-08'],
  REMOVED_DEVICE: ['INV-09'],
};

/**
 * The xstate machine of a device for one generation. Source: kernel-semantics.md B.3.
 *
 * @param initial where it starts: a trace may begin anywhere, a scenario knows
 */
export function deviceMachine(
  profile: KernelProfile,
  initial: DeviceLife = 'unknown',
): AnyStateMachine {
  const table = deviceSteps(profile);
  const lives = Object.keys(table) as DeviceLife[];
  // A dot in a state id would be read as a path.
  const violation = (from: DeviceLife, life: DeviceLife, rule: DeviceRule) =>
    `${life} ${rule.replace('.', '_')}${rule === 'B.3' ? ` ${from}` : ''}`;
  const on = (life: DeviceLife) =>
    Object.fromEntries(
      DEVICE_EVENTS.map((event) => {
        const step = table[life][event];
        const target =
          step.breaks === undefined
            ? `#device.${step.to}`
            : `#${violation(life, step.to, step.breaks)}`;
        return [event, { target }];
      }),
    );
  const broken = new Map<string, { from: DeviceLife; life: DeviceLife; rule: DeviceRule }>();
  for (const from of lives) {
    for (const event of DEVICE_EVENTS) {
      const { to: life, breaks: rule } = table[from][event];
      if (rule !== undefined) broken.set(violation(from, life, rule), { from, life, rule });
    }
  }
  return createMachine({
    id: 'device',
    initial,
    states: {
      ...Object.fromEntries(lives.map((life) => [life, { on: on(life) }])),
      violated: {
        initial: [...broken.keys()][0],
        states: Object.fromEntries(
          [...broken].map(([id, { from, life, rule }]) => [
            id,
            {
              id,
              tags: ['violation'],
              meta: { rule, life, says: says(rule, from) },
              on: on(life),
            },
          ]),
        ),
      },
    },
  });
}
