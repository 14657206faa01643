/**
 * An MSI is set up in a domain that is replaced and freed meanwhile. Source: D K25, A2, INV-20,
 * INV-27.
 */

import type { DmaAddr } from '../dma-addr.js';
import {
  iommu_dma_compose_msi_msg,
  iommu_dma_prepare_msi,
  iommu_domain_free,
  iommu_replace_group_handle,
} from '../kernel/msi.js';
import { kfree, store } from '../kernel/memory.js';
import { iommu_put_msi_cookie, MSI_V9 } from '../kernel/msi-aperture.js';
import { iommu_msi_msg_pa_to_va } from '../kernel/msi-doorbell.js';
import type { MsiCookie, MsiDevice } from '../kernel/msi.js';
import { cookieStruct } from '../kernel/msi-cookie.js';
import { mutexMachine } from '../mutex.js';
import { NULL, nullPointerMachine } from '../null-pointer.js';
import { struct } from '../object.js';
import type { ObjectMemory } from '../object.js';
import type { Invariant, Scenario } from '../scenario.js';
import { aperture, domainEntities, msiDomain } from './msi-domain.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** The device is attached to D1; D2 takes its place. */
function make(cookie: MsiCookie): Scenario {
  const m: MsiDevice = {
    cookie,
    group: 'group',
    mutex: 'group->mutex',
    prepareLock: 'msi_prepare_lock',
    desc: 'desc',
    message: 'msg',
    ictx: 'ictx',
    doorbell: '0x2c1c0000',
    page: (domain) => `${domain}.msi_page`,
    iova: (domain) => (domain === 'D1' ? '0x8000000' : '0x8001000'),
  };
  const domain = (name: string) =>
    struct({ fields: { iova_cookie: cookieStruct(name), mapped: null } }, 'INV-20');
  const cookieFrom = (base: DmaAddr) => struct({ fields: { msi_iova: base, msi_page_list: [] } });
  return {
    name: `K25 ${cookie}`,
    story: 'A vector is enabled while the domain of its device is replaced and freed.',
    entities: {
      group: struct({ fields: { domain: 'D1' } }),
      [m.mutex]: mutexMachine,
      [m.prepareLock]: mutexMachine,
      D1: domain('D1'),
      D2: domain('D2'),
      [cookieStruct('D1')]: cookieFrom(m.iova('D1')),
      [cookieStruct('D2')]: cookieFrom(m.iova('D2')),
      [m.page('D1')]: struct(),
      [m.page('D2')]: struct(),
      desc: struct({ fields: {} }),
      msg: struct({ fields: { address: null } }),
      [NULL]: nullPointerMachine,
      ictx: struct({ fields: { sw_msi: null } }),
    },
    threads: {
      pci_enable_msi: function* () {
        yield* iommu_dma_prepare_msi(m);
        yield* iommu_dma_compose_msi_msg(m);
      },
      'replace D1 by D2': function* () {
        yield* iommu_replace_group_handle(m, 'D2');
        yield* iommu_domain_free('D1');
      },
    },
    invariants: [mapped(m)],
  };
}

/** The functions of 2016: the doorbell is mapped, and the domain freed while the MSI is composed. */
function make2016(): Scenario {
  const m = msiDomain(MSI_V9);
  const start = '0x8000000';
  return {
    name: 'K25 2016',
    story: 'An MSI is composed while the domain of its device is replaced and freed.',
    entities: {
      ...domainEntities(m, { aperture: aperture(start, 1), mappings: 1 }),
      group: struct({ fields: { domain: 'D' }, refs: 1 }),
      msg: struct({ fields: { address: '0x2c1c0000' } }),
    },
    threads: {
      iommu_msi_msg_pa_to_va: () => iommu_msi_msg_pa_to_va(m, { group: 'group' }, 'msg'),
      'detach and free D': function* () {
        yield* store('group', 'domain', null);
        yield* iommu_put_msi_cookie(m);
        yield* kfree('D');
      },
    },
  };
}

function mapped(m: MsiDevice): Invariant {
  return {
    id: 'INV-27',
    says: 'the device sends its MSI to an IOVA that its domain does not map',
    entities: [m.message, m.group, 'D1', 'D2'],
    when: 'end',
    holds: (view) => {
      const fields = (name: string) => (view[name].context as ObjectMemory).fields;
      return fields(m.message).address === fields(String(fields(m.group).domain)).mapped;
    },
  };
}

export const K25: Race = race({
  id: 'K25',
  title: 'MSI cookie / domain used after domain change (A2)',
  story:
    'Setting up an MSI maps the page of its doorbell in the domain that the device is attached to, and keeps a pointer to it in the descriptor; the message is composed from it later. ' +
    'iommufd may replace the domain in between and free the old one, and the page with it: the message is composed from freed memory, or from an IOVA that the new domain does not map. ' +
    'Copying the IOVA into the descriptor leaves the domain itself, which is looked up without a lock. ' +
    'The MSI functions of 2016 return the domain with nothing that keeps it, either. ' +
    'With group->mutex held it stays, and iommufd gives the doorbell one IOVA in all domains, mapped before the device is attached.',
  commits: [
    {
      id: '1f7df3a69174',
      subject: 'genirq/msi: Store the IOMMU IOVA directly in msi_desc instead of iommu_cookie',
      since: 'v6.15',
      cve: 'CVE-2025-38062',
    },
    {
      id: '288683c92b1a',
      subject: 'iommu: Make iommu_dma_prepare_msi() into a generic operation',
      since: 'v6.15',
    },
  ],
  source: 'D K25, A2.2, INV-20, INV-24, INV-27',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-20', 'INV-24', 'INV-27'],
      kernel: 'v6.14',
      make: () => make('pointer'),
    },
    {
      name: 'bug: iommu_msi_domain of 2016',
      expected: 'violated',
      breaks: ['INV-20', 'INV-24'],
      kernel: 'posted after v8 (2016)',
      make: make2016,
    },
    {
      name: 'half fixed',
      expected: 'violated',
      breaks: ['INV-20', 'INV-24', 'INV-27'],
      kernel: '1f7df3a69174 alone',
      make: () => make('IOVA'),
    },
    {
      name: 'fixed',
      expected: 'clean',
      kernel: '288683c92b1a (v6.15)',
      make: () => make('IOVA, under group->mutex'),
    },
  ],
});
