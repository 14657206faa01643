/** Whether a scenario of one's own says what it means: names that are not there, options that are none. */

import { SetUpError } from '../set-up-error.js';
import type { Hotplug, ListenerSetup } from './hotplug.js';
import type { BusSetup, DeviceSetup, DriverSetup, GroupSetup } from './kernel.js';

type Options<T> = Readonly<Record<keyof T, true>>;

const SCENARIO = {
  name: true,
  story: true,
  run: true,
  entities: true,
  monitors: true,
  invariants: true,
  faults: true,
  mayWait: true,
  devices: true,
  drivers: true,
  groups: true,
  buses: true,
  listeners: true,
  earlyBlocks: true,
  spareGroups: true,
  spareParams: true,
  domains: true,
  spareDomains: true,
  deviceGroup: true,
  order: true,
  countsMemberships: true,
  checksGroupFirst: true,
  releaseData: true,
  foundById: true,
  mayFail: true,
  driversLeave: true,
  deferred: true,
  judgedAs: true,
} satisfies Options<Hotplug>;
const DEVICE = {
  bus: true,
  named: true,
  returns: true,
  present: true,
  driver: true,
  group: true,
  held: true,
  alias: true,
  refused: true,
  deferred: true,
  dmaOps: true,
} satisfies Options<DeviceSetup>;
const DRIVER = {
  bus: true,
  registered: true,
  matches: true,
  async: true,
  managesDma: true,
  probe: true,
  remove: true,
  dmaConfigure: true,
} satisfies Options<DriverSetup>;
const GROUP = {
  default_domain: true,
  domain: true,
  blocking_domain: true,
  held: true,
  owner: true,
  owner_cnt: true,
} satisfies Options<GroupSetup>;
const BUS = { iommu: true } satisfies Options<BusSetup>;
const LISTENER = {
  on: true,
  priority: true,
  registered: true,
  unregisters: true,
  is: true,
} satisfies Options<ListenerSetup>;

/**
 * Throws SetUpError.
 *
 * @param groups all that there are or may be
 */
export function checkSetUp(told: Hotplug, groups: readonly string[]): void {
  const { devices = {}, drivers = {}, buses = { pci: {} }, listeners = {} } = told;
  checkOptions('the scenario', told, SCENARIO);
  checkEach('device', devices, DEVICE);
  checkEach('driver', drivers, DRIVER);
  checkEach('group', told.groups ?? {}, GROUP);
  checkEach('bus', buses, BUS);
  checkEach('listener', listeners, LISTENER);
  for (const [dev, { bus = 'pci', driver }] of Object.entries(devices)) {
    if (bus !== null) checkName(`device ${dev}`, 'bus', bus, Object.keys(buses));
    if (driver !== undefined) checkName(`device ${dev}`, 'driver', driver, Object.keys(drivers));
  }
  for (const [driver, { bus = 'pci', matches = [] }] of Object.entries(drivers)) {
    checkName(`driver ${driver}`, 'bus', bus, Object.keys(buses));
    for (const dev of matches) {
      checkName(`driver ${driver}`, 'device', dev, Object.keys(devices));
    }
  }
  for (const dev of told.deferred ?? []) {
    checkName('deferred', 'device', dev, Object.keys(devices));
  }
  const chains = [
    ...Object.keys(buses).map((bus) => `${bus}->bus_notifier`),
    ...groups.map((group) => `${group}->notifier`),
  ];
  for (const [block, { on, is }] of Object.entries<Partial<ListenerSetup>>(listeners)) {
    checkName(`listener ${block}`, 'chain', on ?? '', chains);
    if (is === undefined) {
      throw new SetUpError(
        `listener ${block} hears nothing`,
        'say what it is: a machine, or steps',
      );
    }
  }
  checkDistinct({ device: devices, driver: drivers, bus: buses, listener: listeners }, groups);
  if (told.faults !== undefined && told.mayFail === undefined) {
    throw new SetUpError('faults are allowed, and nothing may fail', 'say what: mayFail: true');
  }
}

function checkEach(
  kind: string,
  all: Readonly<Record<string, object>>,
  known: Readonly<Record<string, true>>,
): void {
  for (const [name, told] of Object.entries(all)) checkOptions(`${kind} ${name}`, told, known);
}

function checkOptions(what: string, told: object, known: Readonly<Record<string, true>>): void {
  const other = Object.keys(told).find((option) => !Object.hasOwn(known, option));
  if (other === undefined) return;
  const options = Object.keys(known).join(', ');
  throw new SetUpError(`${what} says ${other}, which is no option`, `there are ${options}`);
}

function checkName(who: string, kind: string, name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  const there = known.length === 0 ? 'there is none' : `there are ${known.join(', ')}`;
  throw new SetUpError(`${who}: there is no ${kind} ${name}`, there);
}

/** Each is an entity, by its name alone. */
function checkDistinct(named: Readonly<Record<string, object>>, groups: readonly string[]): void {
  const all = new Map(groups.map((group) => [group, 'group']));
  for (const [kind, of] of Object.entries(named)) {
    for (const name of Object.keys(of)) {
      const other = all.get(name);
      if (other !== undefined) {
        throw new SetUpError(`${name} is a ${other} and a ${kind}`, 'name one of them otherwise');
      }
      all.set(name, kind);
    }
  }
}
