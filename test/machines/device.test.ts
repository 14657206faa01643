import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AnyStateMachine } from 'xstate';
import { DEVICE_EVENTS, deviceMachine } from '../../machines/device.js';
import type { DeviceEvent } from '../../machines/device.js';
import { profileByName, PROFILES } from '../../machines/profiles/timeline.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { RULES } from '../../machines/rules.js';
import { walk, words } from './walk.js';

/** The notifications by the words of this file. */
const NAMES: Readonly<Record<string, DeviceEvent>> = {
  ADD: 'ADD_DEVICE',
  DEL: 'DEL_DEVICE',
  REMOVED: 'REMOVED_DEVICE',
  BIND: 'BIND_DRIVER',
  BOUND: 'BOUND_DRIVER',
  UNBIND: 'UNBIND_DRIVER',
  UNBOUND: 'UNBOUND_DRIVER',
  NOTBOUND: 'DRIVER_NOT_BOUND',
  device_add: 'device_add',
  lost: 'lost',
};

function spoken(events: string): string {
  return words(events)
    .map((word) => NAMES[word])
    .join(' ');
}

/** Rules broken on the way, as `WORD rule`. */
function broken(kernel: string, events: string): string[] {
  return walk(machine(kernel), spoken(events)).broken.map((found) => {
    const [event, rule] = found.split(' ');
    return `${Object.keys(NAMES).find((word) => NAMES[word] === event)} ${rule}`;
  });
}

function state(kernel: string, events: string): string {
  return walk(machine(kernel), spoken(events)).end.replace(/^violated\.(\w+).*$/, '$1');
}

function profile(kernel: string): KernelProfile {
  return profileByName(kernel)!;
}

const machines = new Map<string, AnyStateMachine>();

function machine(kernel: string): AnyStateMachine {
  const known = machines.get(kernel) ?? deviceMachine(profile(kernel));
  machines.set(kernel, known);
  return known;
}

const ALL = PROFILES.map((p) => p.name);
const WITH_REMOVED = ['v3.18', 'v4.14', 'v5.8', 'v5.10', 'v6.1', 'v6.2', 'v6.3', 'v6.12', 'v7.2'];
const WITH_NOT_BOUND = ['v4.14', 'v5.10', 'v5.16', 'v5.17', 'v6.1', 'v6.12', 'v7.2'];

describe('lives that the driver core can lead', () => {
  it.each<[string, readonly string[], string]>([
    ['comes and stays', ALL, 'ADD'],
    ['comes, is bound, is unbound', ALL, 'ADD BIND BOUND UNBIND UNBOUND'],
    ['is bound again and again', ALL, 'ADD BIND BOUND UNBIND UNBOUND BIND BOUND UNBIND UNBOUND'],
    ['PCI: unbound before DEL', WITH_REMOVED, 'ADD BIND BOUND UNBIND UNBOUND DEL REMOVED'],
    ['platform: unbound after DEL', WITH_REMOVED, 'ADD BIND BOUND DEL UNBIND UNBOUND REMOVED'],
    ['DEL between UNBIND and UNBOUND', WITH_REMOVED, 'ADD BIND BOUND UNBIND DEL UNBOUND REMOVED'],
    ['DEL between BIND and BOUND', WITH_REMOVED, 'ADD BIND DEL BOUND UNBIND UNBOUND REMOVED'],
    ['never bound', WITH_REMOVED, 'ADD DEL REMOVED'],
    ['comes again under its name', WITH_REMOVED, 'ADD DEL REMOVED ADD BIND BOUND'],
    ['probe deferred twice', WITH_NOT_BOUND, 'ADD BIND NOTBOUND BIND NOTBOUND BIND BOUND'],
    ['probe fails while the device goes', WITH_NOT_BOUND, 'ADD BIND DEL NOTBOUND REMOVED'],
    ['dma_configure fails (K07)', ['v4.14', 'v5.10', 'v5.16'], 'ADD NOTBOUND BIND BOUND'],
    ['dma_configure fails twice', ['v5.10'], 'ADD NOTBOUND NOTBOUND'],
    ['v3.6: DEL first, then the driver', ['v3.6'], 'ADD BIND BOUND DEL UNBIND UNBOUND'],
    ['v3.6: no REMOVED_DEVICE before it comes again', ['v3.6'], 'ADD DEL ADD BIND BOUND'],
    ['v3.6: a failed probe is silent', ['v3.6', 'v3.18'], 'ADD BIND BIND BOUND'],
    ['v3.6: a failed probe, then DEL', ['v3.6'], 'ADD BIND DEL'],
    ['a driver binds to a dying device (K08)', ['v3.6', 'v4.14', 'v5.8'], 'ADD DEL BIND BOUND'],
    ['with device_add seen', WITH_REMOVED, 'device_add ADD BIND BOUND UNBIND UNBOUND DEL REMOVED'],
    ['device_add again after REMOVED', WITH_REMOVED, 'ADD DEL REMOVED device_add ADD'],
    ['device_add that fails beside a living one', ALL, 'ADD device_add BIND BOUND'],
  ])('%s', (_title, kernels, events) => {
    for (const kernel of kernels) expect([kernel, broken(kernel, events)]).toEqual([kernel, []]);
  });

  it.each<[string, string, string]>([
    ['v6.12', '', 'unknown'],
    ['v6.12', 'device_add', 'adding'],
    ['v6.12', 'ADD', 'idle'],
    ['v6.12', 'ADD BIND', 'binding'],
    ['v6.12', 'ADD BIND BOUND', 'bound'],
    ['v6.12', 'ADD BIND BOUND UNBIND', 'unbinding'],
    ['v6.12', 'ADD BIND BOUND UNBIND UNBOUND', 'idle'],
    ['v6.12', 'ADD BIND NOTBOUND', 'idle'],
    ['v6.12', 'ADD BIND BOUND DEL', 'boundDeleted'],
    ['v6.12', 'ADD BIND BOUND DEL UNBIND', 'unbindingDeleted'],
    ['v6.12', 'ADD BIND BOUND DEL UNBIND UNBOUND', 'idleDeleted'],
    ['v6.12', 'ADD DEL REMOVED', 'removed'],
    ['v6.12', 'ADD DEL REMOVED ADD', 'idle'],
    ['v3.6', 'ADD DEL ADD', 'idle'],
    ['v6.12', 'BIND', 'binding'],
    ['v6.12', 'DEL', 'unknownDeleted'],
    ['v6.12', 'ADD BIND BOUND lost', 'unknown'],
  ])('%s: "%s" ends in %s', (kernel, events, expected) => {
    expect(state(kernel, events)).toBe(expected);
  });
});

/**
 * B.3 with the rules of E as a table: how a state is reached, and what each next notification is.
 * `ok`: legal. `?`: see below the table.
 */
const EVENTS = 'ADD DEL REMOVED BIND BOUND UNBIND UNBOUND NOTBOUND';
const SINCE_5_17 = `
                            ADD  DEL  REMOVED  BIND    BOUND   UNBIND  UNBOUND  NOTBOUND
ADD                       : B.3  ok   B.3      ok      B.3     B.3     B.3      INV-08
ADD BIND                  : B.3  ok   INV-09   B.3     ok      B.3     B.3      ok
ADD BIND BOUND            : B.3  ok   INV-09   B.3     B.3     ok      B.3      INV-08
ADD BIND BOUND UNBIND     : B.3  ok   INV-09   B.3     B.3     B.3     ok       INV-08
ADD DEL                   : ?    B.3  ok       INV-07  B.3     B.3     B.3      INV-08
ADD BIND DEL              : ?    B.3  INV-09   INV-07  ok      B.3     B.3      ok
ADD BIND BOUND DEL        : ?    B.3  INV-09   INV-07  B.3     ok      B.3      INV-08
ADD BIND BOUND UNBIND DEL : ?    B.3  INV-09   INV-07  B.3     B.3     ok       INV-08
ADD DEL REMOVED           : ok   B.3  B.3      INV-07  B.3     B.3     B.3      B.3
                          : ok   ok   ok       ok      ok      ok      ok       ok
DEL                       : ?    B.3  ok       INV-07  ok      ok      ok       ok
device_add                : ok   INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b
`;
const V5_10 = `
                            ADD  DEL  REMOVED  BIND    BOUND   UNBIND  UNBOUND  NOTBOUND
ADD                       : B.3  ok   B.3      ok      B.3     B.3     B.3      ok
ADD BIND                  : B.3  ok   INV-09   B.3     ok      B.3     B.3      ok
ADD BIND BOUND            : B.3  ok   INV-09   B.3     B.3     ok      B.3      ?
ADD BIND BOUND UNBIND     : B.3  ok   INV-09   B.3     B.3     B.3     ok       ?
ADD DEL                   : ?    B.3  ok       INV-07  B.3     B.3     B.3      ok
ADD BIND DEL              : ?    B.3  INV-09   INV-07  ok      B.3     B.3      ok
ADD BIND BOUND DEL        : ?    B.3  INV-09   INV-07  B.3     ok      B.3      ?
ADD BIND BOUND UNBIND DEL : ?    B.3  INV-09   INV-07  B.3     B.3     ok       ?
ADD DEL REMOVED           : ok   B.3  B.3      INV-07  B.3     B.3     B.3      B.3
                          : ok   ok   ok       ok      ok      ok      ok       ok
DEL                       : ?    B.3  ok       INV-07  ok      ok      ok       ok
device_add                : ok   INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b
`;
const V3_6 = `
                            ADD  DEL  REMOVED  BIND    BOUND   UNBIND  UNBOUND  NOTBOUND
ADD                       : B.3  ok   B.3      ok      B.3     B.3     B.3      B.3
ADD BIND                  : B.3  ok   B.3      ok      ok      B.3     B.3      B.3
ADD BIND BOUND            : B.3  ok   B.3      B.3     B.3     ok      B.3      B.3
ADD BIND BOUND UNBIND     : B.3  ok   B.3      B.3     B.3     B.3     ok       B.3
ADD DEL                   : ok   B.3  B.3      ok      B.3     B.3     B.3      B.3
ADD BIND DEL              : ok   B.3  B.3      ok      ok      B.3     B.3      B.3
ADD BIND BOUND DEL        : ?    B.3  B.3      B.3     B.3     ok      B.3      B.3
ADD BIND BOUND UNBIND DEL : ?    B.3  B.3      B.3     B.3     B.3     ok       B.3
                          : ok   ok   B.3      ok      ok      ok      ok       B.3
DEL                       : ok   B.3  B.3      ok      ok      ok      ok       B.3
device_add                : ok   INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b INV-01b
`;

interface Cell {
  readonly kernel: string;
  readonly path: string;
  readonly event: string;
  readonly rule: string;
}

function cells(kernel: string, table: string): Cell[] {
  return table
    .trim()
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [path, row] = line.split(':');
      const rules = words(row);
      return words(EVENTS).map((event, n) => ({
        kernel,
        path: path.trim(),
        event,
        rule: rules[n],
      }));
    });
}

const CELLS = [
  ...['v5.17', 'v6.1', 'v6.2', 'v6.12', 'v7.2'].flatMap((kernel) => cells(kernel, SINCE_5_17)),
  ...['v5.9', 'v5.10', 'v5.16'].flatMap((kernel) => cells(kernel, V5_10)),
  ...cells('v3.6', V3_6),
];

describe.each(['v3.6', 'v5.9', 'v5.10', 'v5.16', 'v5.17', 'v6.1', 'v6.2', 'v6.12', 'v7.2'])(
  'the table of B.3 for %s',
  (kernel) => {
    it.each(CELLS.filter((c) => c.kernel === kernel && c.rule !== '?'))(
      '"$path" then $event: $rule',
      ({ path, event, rule }) => {
        expect(broken(kernel, `${path} ${event}`)).toEqual(
          rule === 'ok' ? [] : [`${event} ${rule}`],
        );
      },
    );
  },
);

describe('the rule that a step breaks', () => {
  it('is one that the generation has', () => {
    const strange = CELLS.map(({ kernel, path, event }) => {
      const [found] = broken(kernel, `${path} ${event}`);
      const rule = RULES.find((r) => r.id === found?.split(' ')[1]);
      return rule !== undefined && rule.under(profile(kernel)) === undefined
        ? `${kernel} ${path} ${event}: ${rule.id}`
        : undefined;
    }).filter((line) => line !== undefined);
    // On v5.9 – v5.16 DRIVER_NOT_BOUND of a bound device breaks INV-08, which begins with v5.17.
    expect(strange.filter((line) => !line.endsWith('INV-08'))).toEqual([]);
  });

  it.each(['ADD BIND BOUND', 'ADD BIND BOUND UNBIND', 'ADD BIND BOUND DEL'])(
    'is B.3 and not INV-08 on v5.10: "%s" then DRIVER_NOT_BOUND',
    (path) => {
      expect(broken('v5.10', `${path} NOTBOUND`)).toEqual(['NOTBOUND B.3']);
    },
  );

  // ADD_DEVICE cannot break "the first notification is ADD_DEVICE"; it is REMOVED_DEVICE that lacks.
  it.each(['ADD DEL', 'ADD BIND BOUND DEL'])(
    'is B.3 and not INV-01b: "%s" then ADD_DEVICE without REMOVED_DEVICE',
    (path) => {
      expect(broken('v6.12', `${path} ADD`)).toEqual(['ADD B.3']);
    },
  );

  it('is INV-01b for an ADD_DEVICE after a DEL_DEVICE that came first', () => {
    expect(broken('v6.12', 'DEL ADD')).toEqual(['ADD INV-01b']);
  });

  it('is some rule for an ADD_DEVICE without REMOVED_DEVICE', () => {
    for (const path of ['ADD DEL', 'ADD BIND DEL', 'ADD BIND BOUND DEL', 'DEL']) {
      expect(broken('v6.12', `${path} ADD`)).toHaveLength(1);
    }
  });
});

describe('BIND_DRIVER after DEL_DEVICE', () => {
  it.each([
    ['v3.6', []],
    ['v3.18', []],
    ['v5.8', []],
    ['v5.9', ['BIND INV-07']],
    ['v5.10', ['BIND INV-07']],
    ['v7.2', ['BIND INV-07']],
  ])('on %s breaks %j', (kernel, rules) => {
    expect(broken(kernel, 'ADD DEL BIND BOUND UNBIND UNBOUND')).toEqual(rules);
  });
});

describe('a notification that the generation does not have', () => {
  it.each([
    ['v3.6', 'ADD DEL REMOVED', ['REMOVED B.3']],
    ['v3.6', 'ADD BIND NOTBOUND', ['NOTBOUND B.3']],
    ['v3.18', 'ADD BIND NOTBOUND', ['NOTBOUND B.3']],
    ['v3.6', 'NOTBOUND', ['NOTBOUND B.3']],
    ['v3.18', 'ADD DEL REMOVED', []],
    ['v4.14', 'ADD BIND NOTBOUND', []],
  ])('on %s: "%s" breaks %j', (kernel, events, rules) => {
    expect(broken(kernel, events)).toEqual(rules);
  });
});

describe('an unknown beginning', () => {
  it.each(words(EVENTS))('believes %s', (event) => {
    expect(broken('v6.12', event)).toEqual([]);
  });

  it.each([
    ['BOUND UNBIND UNBOUND DEL REMOVED', []],
    ['UNBOUND DEL REMOVED ADD', []],
    ['DEL UNBIND UNBOUND REMOVED', []],
    ['BIND BOUND BIND', ['BIND B.3']],
    ['BIND REMOVED', ['REMOVED INV-09']],
    ['UNBOUND NOTBOUND', ['NOTBOUND INV-08']],
    ['ADD lost BOUND UNBIND lost REMOVED', []],
    ['ADD DEL lost BIND BOUND', []],
  ])('speaks as soon as an event has fixed the state: "%s" breaks %j', (events, rules) => {
    expect(broken('v6.12', events)).toEqual(rules);
  });
});

describe('after a violation', () => {
  /** What the device does from the state that an event proves to its regular end. */
  const REST: Readonly<Record<string, string>> = {
    ADD: 'BIND BOUND UNBIND UNBOUND',
    BIND: 'BOUND UNBIND UNBOUND',
    BOUND: 'UNBIND UNBOUND',
    UNBIND: 'UNBOUND',
    UNBOUND: '',
    NOTBOUND: '',
  };
  const illegal = CELLS.filter(
    ({ rule, event, path }) =>
      event in REST && rule !== 'ok' && !path.includes('device_add') && !path.includes('REMOVED'),
  );

  it.each(illegal.filter((c) => ['v3.6', 'v5.10', 'v7.2'].includes(c.kernel)))(
    '$kernel "$path" $event the rest of its life breaks nothing more',
    ({ kernel, path, event }) => {
      const gone = path.includes('DEL') && event !== 'ADD' ? '' : 'DEL';
      const end = kernel === 'v3.6' ? '' : 'REMOVED';
      const found = broken(kernel, `${path} ${event} ${REST[event]} ${gone} ${end} ADD BIND BOUND`);
      expect(found.length).toBeLessThanOrEqual(1);
    },
  );

  it.each([
    ['ADD BIND BOUND DEL DEL UNBIND UNBOUND REMOVED', 'DEL B.3'],
    ['ADD BIND BOUND REMOVED ADD BIND BOUND', 'REMOVED INV-09'],
    ['ADD DEL REMOVED BIND BOUND UNBIND UNBOUND REMOVED ADD', 'BIND INV-07'],
    ['device_add DEL REMOVED ADD', 'DEL INV-01b'],
  ])('"%s" breaks only %s', (events, rule) => {
    expect(broken('v6.12', events)).toEqual([rule]);
  });

  it('the state is the one that the notification proves, for any events before it', () => {
    const proves: Readonly<Record<string, RegExp>> = {
      // A driver that came before ADD_DEVICE is not undone by it.
      ADD: /^(idle|binding|bound|unbinding)$/,
      BIND: /^binding/,
      BOUND: /^bound/,
      UNBIND: /^unbinding/,
      REMOVED: /^removed$/,
    };
    fc.assert(
      fc.property(
        fc.constantFrom('v3.6', 'v5.10', 'v6.1', 'v7.2'),
        fc.array(fc.constantFrom(...Object.keys(NAMES)), { maxLength: 12 }),
        fc.constantFrom(...Object.keys(proves)),
        (kernel, before, last) => {
          expect(state(kernel, [...before, last].join(' '))).toMatch(proves[last]);
        },
      ),
    );
  });
});

describe('the race K10: a driver binds before ADD_DEVICE', () => {
  it.each([
    ['device_add BIND', ['BIND INV-01b']],
    ['device_add BIND BOUND', ['BIND INV-01b']],
    ['device_add BIND NOTBOUND', ['BIND INV-01b']],
  ])('"%s" breaks INV-01b once', (events, rules) => {
    for (const kernel of ['v5.10', 'v6.1', 'v6.12', 'v7.2']) {
      expect(broken(kernel, events)).toEqual(rules);
    }
  });

  // B.3: 0 -BIND-> B (pre-ADD). The late ADD_DEVICE is the same race, and the driver stays bound.
  it.each([
    'device_add BIND BOUND ADD',
    'device_add BIND ADD BOUND UNBIND UNBOUND DEL REMOVED',
    'device_add BIND BOUND ADD UNBIND UNBOUND DEL REMOVED',
    'device_add BIND NOTBOUND ADD',
  ])('"%s" is one violation, not one more for each later notification', (events) => {
    expect(broken('v6.12', events)).toEqual(['BIND INV-01b']);
  });
});

describe('the alphabet', () => {
  it('is BUS_NOTIFY_*, the entry of device_add and a loss', () => {
    expect([...DEVICE_EVENTS].sort()).toEqual(Object.values(NAMES).sort());
  });

  it('is accepted whole in every state', () => {
    for (const kernel of PROFILES) {
      const { states } = deviceMachine(kernel);
      for (const node of Object.values(states)) {
        if (node.key !== 'violated') expect(node.ownEvents).toEqual([...DEVICE_EVENTS]);
      }
    }
  });
});
