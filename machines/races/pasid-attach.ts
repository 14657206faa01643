/** A PASID attached to a group of which one device fails. Source: A5.5. */

import { faultBudgetMachine } from '../fault-budget.js';
import {
  entryOf,
  iommu_attach_device_pasid,
  page_request,
  PASID_LOG,
  pasidArrayOf,
  V7_2,
} from '../kernel/global-pasid.js';
import type { PasidCode } from '../kernel/global-pasid.js';
import { kfree, kzalloc } from '../kernel/memory.js';
import { kernelLogMachine } from '../kernel-log.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import type { Scenario } from '../scenario.js';
import type { Thread } from '../step.js';
import { xarrayMachine } from '../xarray.js';
import { race } from './race.js';
import type { Race } from './race.js';

const BUDGET = 'faults';

export const PASID_ATTACH: Race = race({
  id: 'A5.5',
  title: 'A PASID attached to a group of which one device fails',
  story:
    'iommu_attach_device_pasid attaches a domain to a PASID of every device of a group. Where one fails, all were told to remove the PASID, those too that never had it. And the handle was in the pasid_array from the beginning: a page request of a device that was done already finds it, and the caller frees it when the attach has failed.',
  commits: [
    {
      id: 'b025dea63cde',
      subject: 'iommu: Undo pasid attachment only for the devices that have succeeded',
      since: 'v6.10',
    },
  ],
  source: 'A5.5, INV-23, INV-24, INV-30',
  variants: [
    {
      name: 'bug: undone where it was not done',
      expected: 'violated',
      breaks: ['INV-30'],
      kernel: 'v6.9',
      make: () => scenarioOf({ undoes: 'all' }),
    },
    {
      name: 'bug: a page request finds it too early',
      expected: 'violated',
      breaks: ['INV-24'],
      kernel: 'v6.12',
      make: () => scenarioOf({ published: 'first' }),
    },
    {
      name: 'fixed: reserved first, published last',
      expected: 'clean',
      kernel: 'v7.2',
      make: () => scenarioOf({}),
    },
  ],
});

function scenarioOf(code: Partial<PasidCode>): Scenario {
  function* attach(): Thread<void> {
    yield* kzalloc('handle', { fields: { domain: 'D0' } });
    const to = { domain: 'D0', group: 'g0', pasid: 1, handle: 'handle', budget: BUDGET };
    const ret = yield* iommu_attach_device_pasid({ ...V7_2, ...code }, to);
    if (ret !== 0) yield* kfree('handle');
  }
  const device = struct({ fields: { max_pasids: 2, [entryOf(1)]: null } });
  return {
    name: 'A5.5',
    story: PASID_ATTACH.story,
    entities: {
      [PASID_LOG]: kernelLogMachine(['INV-30']),
      [BUDGET]: faultBudgetMachine,
      g0: struct({ fields: { devices: ['d0', 'd1'] } }),
      'g0->mutex': mutexMachine,
      [pasidArrayOf('g0')]: xarrayMachine,
      d0: device,
      d1: device,
      handle: struct(),
    },
    faults: 1,
    threads: {
      iommu_attach_device_pasid: attach,
      'page request of d0': () => page_request('g0', 1),
    },
  };
}
