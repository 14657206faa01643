/**
 * A device's name freed before the device is unregistered, which tells listeners of the bus: they
 * read it. Source: D K35, B.2.
 */

import { access, kfree, put } from '../kernel/memory.js';
import { notifier_call_chain } from '../kernel/notifier-chain.js';
import type { Chain } from '../kernel/notifier-chain.js';
import { notifierListMachine } from '../notifier-list.js';
import { struct } from '../object.js';
import { profileByName } from '../profiles/timeline.js';
import { rwsemMachine } from '../rwsem.js';
import type { Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { race } from './race.js';
import type { Race } from './race.js';

const profile = profileByName('v6.11')!;
const NAME = 'scmi_dev->name';

export const K35: Race = race({
  id: 'K35',
  title: 'Bus notifier callback uses memory already freed by the device owner',
  story:
    "__scmi_device_destroy frees the device's name and then unregisters the device. device_del tells the listeners of the bus that the device goes, and scmi_bus_notifier compares its name, which is gone. The fix frees the name with the device, when the last reference is put.",
  commits: [
    {
      id: '295416091e44',
      subject: 'firmware: arm_scmi: Fix slab-use-after-free in scmi_bus_notifier()',
      since: 'v6.12',
      cve: 'CVE-2024-53068',
    },
  ],
  source: 'D K35, INV-17',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-17'],
      kernel: 'v6.11',
      make: () => scenarioOf('before device_unregister'),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '295416091e44 (v6.12)',
      make: () => scenarioOf('in release'),
    },
  ],
});

function scenarioOf(nameFreed: 'before device_unregister' | 'in release'): Scenario {
  const bus: Chain = {
    name: 'scmi_bus',
    kind: 'blocking',
    rwsem: 'scmi_bus->rwsem',
    list: 'scmi_bus->blocks',
    profile,
    callbacks: {
      *scmi_bus_nb() {
        yield* access(NAME, { type: 'read', field: 'text' }, `strncmp(${NAME})`);
        return 0;
      },
    },
  };
  function* put_device(): Thread<void> {
    if (!(yield* put('scmi_dev'))) return;
    if (nameFreed === 'in release') yield* kfree(NAME);
    yield* kfree('scmi_dev');
  }
  function* device_unregister(): Thread<void> {
    yield* notifier_call_chain(bus, 'DEL_DEVICE', { dev: 'scmi_dev' });
    yield* notifier_call_chain(bus, 'REMOVED_DEVICE', { dev: 'scmi_dev' });
    yield* put_device();
  }
  return {
    name: 'K35',
    story: K35.story,
    entities: {
      [bus.list]: {
        machine: notifierListMachine(profile),
        input: { [bus.name]: [{ block: 'scmi_bus_nb', priority: 0 }] },
      },
      'scmi_bus->rwsem': rwsemMachine,
      // Two references: the registration, and that of who has found the device.
      scmi_dev: struct({ refs: 2 }),
      [NAME]: struct({ fields: { text: 'perf' } }, 'INV-17'),
    },
    threads: {
      scmi_device_destroy: function* () {
        if (nameFreed === 'before device_unregister') yield* kfree(NAME);
        yield* device_unregister();
      },
      scmi_child_dev_find: function* () {
        yield* access(NAME, { type: 'read', field: 'text' }, `strcmp(${NAME})`);
        yield* put_device();
      },
    },
  };
}
