import { describe, expect, it } from 'vitest';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { REPLAY_RULES } from '../../../machines/rules.js';
import type { ReplayResult } from '../../../src/replay/replay.js';
import type { Verdict } from '../../../src/replay/verdicts.js';
import { BUS_CHAIN, markedText, replayTexts, traceText } from './trace-text.js';

function verdict(result: ReplayResult, rule: string): Verdict {
  return result.verdicts.find((v) => v.rule.id === rule)!;
}

/** `rule@line` of every violation of every rule. */
function violations(result: ReplayResult): string[] {
  return result.verdicts.flatMap((v) =>
    v.violations.map((violation) => `${v.rule.id}@${violation.at.origin.line}`),
  );
}

async function replayTrace(kernel: string, script: string) {
  const { text, marked } = traceText(kernel, script);
  const result = await replayTexts(kernel, { 'trace.txt': text });
  expect(result.unparsed).toEqual([]);
  expect(result.kernel.contradictions).toEqual([]);
  return { result, marked };
}

interface Case {
  readonly rule: string;
  readonly what: string;
  readonly kernel: string;
  readonly script: string;
}

const GROUP_20 = 'a add_device_to_group: IOMMU: groupID=20 device=D';
const GROUP_20_BOTH = `${GROUP_20}\n a add_device_to_group: IOMMU: groupID=20 device=D2`;
const LEAVES_20 = 'a remove_device_from_group: IOMMU: groupID=20 device=D';

/** Both devices are attached to the default domain of group 20. */
const ON_DEFAULT = `
  ${GROUP_20_BOTH}
  a __iommu_attach_device: domain=0xffff8880000d0000 dtype=0xb D grp=20 gptr=0xffff8880054b2900
  a __iommu_attach_device: domain=0xffff8880000d0000 dtype=0xb D2 grp=20 gptr=0xffff8880054b2900`;
const USER_DOMAIN = 'domain=0xffff888000aa0000 dtype=0x1';
const DEFAULT_DOMAIN = 'domain=0xffff8880000d0000 dtype=0xb';

/** A call of the bus's chain with the callbacks named, each returning `ret`. */
function chainRun(action: number, callbacks: string, ret = 0): string {
  const runs = callbacks
    .split(' ')
    .filter((name) => name !== '')
    .map(
      (name) => `
        a ${name}: (${name}+0x4/0x70) cb=${name}+0x0/0x70 prio=0 action=0x${action.toString(16)} D
        a ${name}_ret: (notifier_call_chain+0x70/0x110 <- ${name}) ret=0`,
    );
  return `
    a blocking_notifier_call_chain: nh=${BUS_CHAIN} val=0x${action.toString(16)} D
    ${runs.join('\n')}
    a blocking_notifier_call_chain_ret: ret=${ret}`;
}

/** The first callback has the lower priority. */
const callback = (name: string, prio: number) =>
  `a ${name}: (${name}+0x4/0x70) cb=${name}+0x0/0x70 prio=${prio} action=0x0 D`;
const returned = (name: string, ret: string) =>
  `a ${name}_ret: (notifier_call_chain+0x70/0x110 <- ${name}) ret=${ret}`;
const ADD_CALL = `a blocking_notifier_call_chain: nh=${BUS_CHAIN} val=0x0 D`;
const CALL_RETURN = (ret: string) => `a blocking_notifier_call_chain_ret: ret=${ret}`;

/** 5.10: iommu_group_add_device publishes ADD_DEVICE to the group as its last step but one. */
const JOINS_5_10 = `
  a iommu_group_add_device: group=20 D grp=0 gptr=0x0
  a group ADD
  ${GROUP_20}
  a iommu_group_add_device_ret: ret=0`;

/** 5.10: iommu_bus_notifier inside the bus's chain, with what it publishes to the group. */
const republish = (action: number, published: string, mark = '') => `
  a blocking_notifier_call_chain: nh=${BUS_CHAIN} val=0x${action} D
  a iommu_bus_notifier: cb=iommu_bus_notifier+0x0/0xa0 prio=0 action=0x${action} D
  ${published}
  ${mark}a iommu_bus_notifier_ret: ret=0`;

const VIOLATED: readonly Case[] = [
  {
    rule: 'INV-01',
    what: 'the group hears ADD twice',
    kernel: 'v5.10',
    script: `
      a iommu_group_add_device: group=20 D
      a group ADD
      !a group ADD
      a iommu_group_add_device_ret: ret=0`,
  },
  {
    rule: 'INV-01',
    what: 'the group hears DEL twice',
    kernel: 'v5.10',
    script: `
      a iommu_group_add_device: group=20 D
      a group ADD
      a iommu_group_add_device_ret: ret=0
      a group DEL
      !b group DEL`,
  },
  {
    rule: 'INV-01b',
    what: 'a driver binds inside device_add (K10)',
    kernel: 'v6.12',
    script: `
      a device_add: D grp=0 gptr=0x0
      !b BIND`,
  },
  {
    rule: 'INV-02',
    what: 'a device joins the group that it is in',
    kernel: 'v6.12',
    script: `${GROUP_20}
      !b add_device_to_group: IOMMU: groupID=20 device=D
      b remove_device_from_group: IOMMU: groupID=20 device=D`,
  },
  {
    rule: 'INV-02',
    what: 'a device joins a second group',
    kernel: 'v6.1',
    script: `${GROUP_20}
      !b add_device_to_group: IOMMU: groupID=21 device=D
      b remove_device_from_group: IOMMU: groupID=21 device=D`,
  },
  {
    rule: 'INV-03',
    what: 'a device leaves twice',
    kernel: 'v6.12',
    script: `${GROUP_20}
      ${LEAVES_20}
      !b remove_device_from_group: IOMMU: groupID=20 device=D`,
  },
  {
    rule: 'INV-03',
    what: 'a device leaves another group',
    kernel: 'v5.10',
    script: `${GROUP_20}
      !a remove_device_from_group: IOMMU: groupID=21 device=D`,
  },
  {
    rule: 'INV-03',
    what: 'a member has no dev->iommu_group',
    kernel: 'v6.12',
    script: `${GROUP_20}
      !a bus_notify BIND drv="e1000e" grp=0 gptr=0x0`,
  },
  {
    rule: 'INV-03',
    what: 'dev->iommu_group is another group',
    kernel: 'v7.2',
    script: `${GROUP_20}
      !a bus_notify BIND drv="e1000e" grp=21 gptr=0xffff8880054b2900`,
  },
  {
    rule: 'INV-03',
    what: 'dev->iommu_group is set outside any group',
    kernel: 'v6.12',
    script: `${GROUP_20}
      ${LEAVES_20}
      !a bus_notify REMOVED grp=20 gptr=0xffff8880054b2900`,
  },
  {
    rule: 'INV-05',
    what: 'the group hears DEL when the device has left',
    kernel: 'v5.10',
    script: `${JOINS_5_10}
      ${LEAVES_20}
      !a group DEL`,
  },
  {
    rule: 'INV-07',
    what: 'a driver binds after DEL',
    kernel: 'v6.12',
    script: `
      a ADD
      a DEL
      !b BIND`,
  },
  {
    rule: 'INV-08',
    what: 'NOT_BOUND of an idle device',
    kernel: 'v6.12',
    script: `
      a ADD
      !a NOTBOUND`,
  },
  {
    rule: 'INV-09',
    what: 'REMOVED of a bound device',
    kernel: 'v6.12',
    script: `
      a ADD
      a BIND
      a BOUND
      a DEL
      !a REMOVED`,
  },
  {
    rule: 'INV-11',
    what: 'an attach_group that reaches one device of two (K39)',
    kernel: 'v6.1',
    script: `${ON_DEFAULT}
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${USER_DOMAIN} D
      !a iommu_attach_group_ret: ret=0`,
  },
  {
    rule: 'INV-11',
    what: 'the same where no return is probed',
    kernel: 'v6.12',
    script: `${ON_DEFAULT}
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_group_set_domain_internal: group=20 ${USER_DOMAIN} flags=0x0
      a __iommu_attach_device: ${USER_DOMAIN} D
      !a tracing_mark_write: done`,
  },
  {
    rule: 'INV-13',
    what: 'a callback gets another action',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      !a iommu_bus_notifier: cb=iommu_bus_notifier+0x0/0x70 prio=0 action=0x1 D
      ${returned('iommu_bus_notifier', '0')}
      ${CALL_RETURN('0')}`,
  },
  {
    rule: 'INV-13',
    what: 'a callback gets another device',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      !a iommu_bus_notifier: cb=iommu_bus_notifier+0x0/0x70 prio=0 action=0x0 D2
      ${returned('iommu_bus_notifier', '0')}
      ${CALL_RETURN('0')}`,
  },
  {
    rule: 'INV-13',
    what: 'one callback is left out of one call',
    kernel: 'v6.1',
    script: `
      ${chainRun(1, 'dmar_pci_bus_notifier iommu_bus_notifier')}
      ${chainRun(4, 'dmar_pci_bus_notifier').replace('a blocking_notifier_call_chain_ret', '!a blocking_notifier_call_chain_ret')}
      ${chainRun(5, 'dmar_pci_bus_notifier iommu_bus_notifier')}`,
  },
  {
    rule: 'INV-13',
    what: 'one callback runs twice in one call',
    kernel: 'v6.12',
    script: `
      ${chainRun(0, 'pci_notify')}
      ${chainRun(3, 'pci_notify pci_notify').replace('a blocking_notifier_call_chain_ret', '!a blocking_notifier_call_chain_ret')}
      ${chainRun(4, 'pci_notify')}`,
  },
  {
    rule: 'INV-17',
    what: 'a callback runs after its unregister has returned',
    kernel: 'v6.12',
    script: `
      b blocking_notifier_chain_unregister: nh=${BUS_CHAIN} cb=pci_notify+0x0/0x1e0 prio=0
      b tracing_mark_write: unregistered
      ${ADD_CALL}
      !${callback('pci_notify', 0)}
      ${returned('pci_notify', '0')}
      ${CALL_RETURN('0')}`,
  },
  {
    rule: 'INV-20',
    what: 'a domain is freed under a device',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a attach_device_to_domain: IOMMU: device=D
      !b iommu_domain_free: ${USER_DOMAIN}`,
  },
  {
    rule: 'INV-34',
    what: 'a device stays on the domain that the group was detached from',
    kernel: 'v6.1',
    script: `${GROUP_20}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a iommu_detach_group: group=20 ${USER_DOMAIN}
      !a tracing_mark_write: done`,
  },
  {
    rule: 'INV-35',
    what: 'an owned group is claimed',
    kernel: 'v6.12',
    script: `
      a iommu_group_claim_dma_owner: group=20 owner=0xffff88800aaa0000
      a iommu_group_claim_dma_owner_ret: ret=0
      b iommu_group_claim_dma_owner: group=20 owner=0xffff88800bbb0000
      !b iommu_group_claim_dma_owner_ret: ret=0`,
  },
  {
    rule: 'INV-35',
    what: 'a driver gets the default domain of an owned group',
    kernel: 'v6.1',
    script: `${GROUP_20}
      a iommu_group_claim_dma_owner: group=20
      a iommu_group_claim_dma_owner_ret: ret=0
      b iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      !b iommu_device_use_default_domain_ret: ret=0`,
  },
  {
    rule: 'INV-35',
    what: 'a group is claimed while a driver uses the DMA API',
    kernel: 'v7.2',
    script: `${GROUP_20}
      b iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      b iommu_device_use_default_domain_ret: ret=0
      a iommu_group_claim_dma_owner: group=20
      !a iommu_group_claim_dma_owner_ret: ret=0`,
  },
  {
    rule: 'INV-42',
    what: 'BIND of a member is not republished',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${republish(4, '', '!')}`,
  },
  {
    rule: 'INV-42',
    what: 'BIND is republished as BOUND',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${republish(4, '!a group BOUND')}`,
  },
  {
    rule: 'INV-42',
    what: 'BIND of a device in no group is republished',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${LEAVES_20}
      ${republish(4, 'a group BIND', '!')}`,
  },
  {
    rule: 'INV-47',
    what: 'another task ends the section',
    kernel: 'v6.12',
    script: `
      a ADD
      a BIND
      !b BOUND`,
  },
  {
    rule: 'INV-47',
    what: 'the holder sends DEL inside its section',
    kernel: 'v6.1',
    script: `
      a ADD
      a BIND
      a BOUND
      b UNBIND
      !b DEL
      b UNBOUND`,
  },
  {
    rule: 'B.1',
    what: 'a higher priority runs after a lower one',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      ${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '0')}
      !${callback('dmar_pci_bus_notifier', 1)}
      ${returned('dmar_pci_bus_notifier', '0')}
      ${CALL_RETURN('0')}`,
  },
  {
    rule: 'B.1',
    what: 'a callback runs after a STOP',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      ${callback('dmar_pci_bus_notifier', 1)}
      ${returned('dmar_pci_bus_notifier', '0x8001')}
      !${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '0')}
      ${CALL_RETURN('0')}`,
  },
  {
    rule: 'B.1',
    what: 'the chain returns another value than its last callback',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      a notifier_run: iommu_bus_notifier
      ${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '1')}
      !${CALL_RETURN('0')}`,
  },
  {
    rule: 'B.3',
    what: 'UNBIND of an idle device',
    kernel: 'v6.12',
    script: `
      a ADD
      !a UNBIND
      a UNBOUND
      a DEL
      a REMOVED`,
  },
  {
    rule: 'B.3',
    what: 'BOUND without BIND, numbered as v5.10 does',
    kernel: 'v5.10',
    script: `
      a ADD
      !a BOUND`,
  },
  {
    rule: 'B.3',
    what: 'BOUND without BIND, numbered as v3.6 does',
    kernel: 'v3.6',
    script: `
      a ADD
      !a BOUND`,
  },
  {
    rule: 'B.2',
    what: 'a call inside another does not return',
    kernel: 'v6.12',
    script: `
      a device_add: D2
      a iommu_probe_device: D2
      a iommu_probe_device_ret: ret=0
      a device_add_ret: ret=0
      a device_add: D
      a iommu_probe_device: D
      !a device_add_ret: ret=0`,
  },
  {
    rule: 'B.2',
    what: 'a task is back in user mode inside a call',
    kernel: 'v6.1',
    script: `
      a really_probe: D drv="e1000e"
      a really_probe_ret: ret=0
      a really_probe: D drv="e1000e"
      !a tracing_mark_write: here`,
  },
  {
    rule: 'B.2',
    what: 'a return without a call',
    kernel: 'v6.1',
    script: `
      a tracing_mark_write: here
      a really_probe: D drv="e1000e"
      a really_probe_ret: ret=0
      !a really_probe_ret: ret=0`,
  },
  {
    rule: 'B.2',
    what: 'bus_notify without a call of the chain',
    kernel: 'v6.12',
    script: `
      a bus_notify ADD grp=0 gptr=0x0
      a ADD
      a bus_notify BIND drv="e1000e"
      !a tracing_mark_write: here`,
  },
  {
    rule: 'IOVA-unmap',
    what: 'the kernel finds less than it is asked to unmap',
    kernel: 'v6.12',
    script: `
      a map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000100000 size=4096
      !a unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000003000 size=8192 unmapped_size=4096`,
  },
  {
    rule: 'IOVA-map',
    what: 'a range is mapped twice for one device',
    kernel: 'v6.12',
    script: `
      a map: IOMMU: dev=D iova=0x0000000000001000 - 0x0000000000002000 paddr=0x100000 size=4096
      !a map: IOMMU: dev=D iova=0x0000000000001000 - 0x0000000000002000 paddr=0x200000 size=4096`,
  },
];

describe('a trace that breaks a rule', () => {
  it.each(VIOLATED)('$rule, $kernel: $what', async ({ rule, kernel, script }) => {
    const { result, marked } = await replayTrace(kernel, script);
    expect(marked).toHaveLength(1);
    expect(violations(result)).toEqual([`${rule}@${marked[0]}`]);
    expect(verdict(result, rule)).toMatchObject({ status: 'violated', violationCount: 1 });
    expect(verdict(result, rule).violations[0].message).not.toMatch(/undefined|NaN|\[object/);

    const { text } = traceText(kernel, script);
    const checked = await replayTexts(kernel, { 'trace.txt': text }, () => ({ history: false }));
    expect(checked.history).toBeUndefined();
    expect(violations(checked)).toEqual(violations(result));
  });
});

const LIFE = (last: string) => `
  a device_add: D grp=0 gptr=0x0
  a ADD
  a BIND
  a BOUND
  a UNBIND
  a UNBOUND
  a DEL
  ${last}`;

const HELD: readonly Case[] = [
  {
    rule: 'INV-01',
    what: 'ADD, then DEL, then ADD',
    kernel: 'v5.10',
    script: `
      ${JOINS_5_10}
      a group DEL
      ${LEAVES_20}
      ${JOINS_5_10}`,
  },
  { rule: 'INV-01b', what: 'a whole life', kernel: 'v6.12', script: LIFE('a REMOVED') },
  {
    rule: 'INV-02',
    what: 'one group after the other',
    kernel: 'v6.12',
    script: `${GROUP_20}
      ${LEAVES_20}
      a add_device_to_group: IOMMU: groupID=21 device=D`,
  },
  {
    rule: 'INV-03',
    what: 'the pointer follows the group',
    kernel: 'v6.12',
    script: `
      a bus_notify ADD grp=0 gptr=0x0
      ${GROUP_20}
      a bus_notify BIND drv="e1000e" grp=20 gptr=0xffff8880054b2900
      a bus_notify BOUND drv="e1000e" grp=20 gptr=0xffff8880054b2900
      a bus_notify UNBIND drv="e1000e" grp=20 gptr=0xffff8880054b2900
      a bus_notify UNBOUND drv=(fault) grp=20 gptr=0xffff8880054b2900
      a bus_notify DEL drv=(fault) grp=20 gptr=0xffff8880054b2900
      ${LEAVES_20}
      a bus_notify REMOVED drv=(fault) grp=0 gptr=0x0`,
  },
  {
    rule: 'INV-05',
    what: 'DEL before the device leaves',
    kernel: 'v5.10',
    script: `${JOINS_5_10}
      a group DEL
      ${LEAVES_20}`,
  },
  { rule: 'INV-07', what: 'a whole life', kernel: 'v7.2', script: LIFE('a REMOVED') },
  {
    rule: 'INV-08',
    what: 'a deferred probe',
    kernel: 'v6.12',
    script: `
      a ADD
      a BIND
      a NOTBOUND
      b BIND
      b BOUND`,
  },
  { rule: 'INV-09', what: 'a whole life', kernel: 'v6.1', script: LIFE('a REMOVED') },
  {
    rule: 'INV-11',
    what: 'all devices of the group are attached',
    kernel: 'v6.1',
    script: `${ON_DEFAULT}
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a __iommu_attach_device: ${USER_DOMAIN} D2
      a iommu_attach_group_ret: ret=0`,
  },
  {
    rule: 'INV-11',
    what: 'the attach of the second device fails and the first goes back',
    kernel: 'v6.12',
    script: `${ON_DEFAULT}
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a __iommu_attach_device: ${DEFAULT_DOMAIN} D
      a iommu_attach_group_ret: ret=-22`,
  },
  {
    rule: 'INV-13',
    what: 'the same callbacks each time, fewer behind a STOP',
    kernel: 'v6.12',
    script: `
      ${chainRun(0, 'dmar_pci_bus_notifier iommu_bus_notifier')}
      ${chainRun(3, 'dmar_pci_bus_notifier iommu_bus_notifier')}
      ${chainRun(4, 'dmar_pci_bus_notifier', 0x8001)}
      ${chainRun(5, 'dmar_pci_bus_notifier iommu_bus_notifier')}`,
  },
  {
    rule: 'INV-13',
    what: 'a callback that was unregistered between two calls',
    kernel: 'v6.12',
    script: `
      ${chainRun(0, 'dmar_pci_bus_notifier pci_notify')}
      b blocking_notifier_chain_unregister: nh=${BUS_CHAIN} cb=pci_notify+0x0/0x1e0 prio=0
      ${chainRun(3, 'dmar_pci_bus_notifier')}
      ${chainRun(4, 'dmar_pci_bus_notifier')}`,
  },
  {
    rule: 'INV-17',
    what: 'the callback runs before its unregister, and again once registered',
    kernel: 'v6.12',
    script: `
      ${chainRun(0, 'pci_notify')}
      b blocking_notifier_chain_unregister: nh=${BUS_CHAIN} cb=pci_notify+0x0/0x1e0 prio=0
      b tracing_mark_write: here
      ${chainRun(3, '')}
      b blocking_notifier_chain_register: nh=${BUS_CHAIN} cb=pci_notify+0x0/0x1e0 prio=0
      ${chainRun(4, 'pci_notify')}`,
  },
  {
    rule: 'INV-17',
    what: 'the callback runs in a call that the unregister waits for',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      b blocking_notifier_chain_unregister: nh=${BUS_CHAIN} cb=pci_notify+0x0/0x1e0 prio=0
      ${callback('pci_notify', 0)}
      ${returned('pci_notify', '0')}
      ${CALL_RETURN('0')}
      b tracing_mark_write: here`,
  },
  {
    rule: 'INV-19',
    what: 'released when its device has left',
    kernel: 'v6.12',
    script: `${GROUP_20}
      ${LEAVES_20}
      a iommu_group_release: kobj="20"`,
  },
  {
    rule: 'INV-20',
    what: 'freed when its device is on another one, and when its device is gone',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a attach_device_to_domain: IOMMU: device=D
      a __iommu_attach_device: ${DEFAULT_DOMAIN} D
      a attach_device_to_domain: IOMMU: device=D
      a iommu_domain_free: ${USER_DOMAIN}
      ${LEAVES_20}
      a iommu_domain_free: ${DEFAULT_DOMAIN}`,
  },
  {
    rule: 'INV-20',
    what: 'freed after an attach that failed',
    kernel: 'v6.12',
    script: `${GROUP_20_BOTH}
      a __iommu_attach_device: ${DEFAULT_DOMAIN} D2
      a attach_device_to_domain: IOMMU: device=D2
      a __iommu_attach_device: ${USER_DOMAIN} D
      a iommu_domain_free: ${USER_DOMAIN}`,
  },
  {
    rule: 'INV-34',
    what: 'all devices go back to the default domain',
    kernel: 'v6.1',
    script: `${GROUP_20_BOTH}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a __iommu_attach_device: ${USER_DOMAIN} D2
      a iommu_detach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${DEFAULT_DOMAIN} D
      a __iommu_attach_device: ${DEFAULT_DOMAIN} D2
      a tracing_mark_write: done`,
  },
  {
    rule: 'INV-35',
    what: 'claims one after the other, and refusals in between',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a iommu_group_claim_dma_owner: group=20
      a iommu_group_claim_dma_owner_ret: ret=0
      b iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      b iommu_device_use_default_domain_ret: ret=-16
      b iommu_group_claim_dma_owner: group=20
      b iommu_group_claim_dma_owner_ret: ret=0xffffffff
      a iommu_group_release_dma_owner: group=20
      b iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      b iommu_device_use_default_domain_ret: ret=0
      b iommu_device_unuse_default_domain: D grp=20 gptr=0xffff8880054b2900
      a iommu_group_claim_dma_owner: group=20
      a iommu_group_claim_dma_owner_ret: ret=0`,
  },
  {
    rule: 'INV-35',
    what: 'a use that overlaps the release of the group',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a iommu_group_claim_dma_owner: group=20
      a iommu_group_claim_dma_owner_ret: ret=0
      b iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      a iommu_group_release_dma_owner: group=20
      b iommu_device_use_default_domain_ret: ret=0`,
  },
  {
    rule: 'INV-42',
    what: 'BIND and BOUND of a member are republished, ADD is not',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${republish(4, 'a group BIND')}
      ${republish(5, 'a group BOUND')}`,
  },
  {
    rule: 'INV-42',
    what: 'BIND of a device in no group is not republished',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${LEAVES_20}
      ${republish(4, '')}`,
  },
  { rule: 'INV-47', what: 'a whole life', kernel: 'v6.12', script: LIFE('a REMOVED') },
  {
    rule: 'INV-47',
    what: 'DEL by another task while a probe runs',
    kernel: 'v6.12',
    script: `
      a ADD
      a BIND
      b DEL
      a BOUND`,
  },
  {
    rule: 'B.1',
    what: 'descending priorities, and the value of the last callback',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      a notifier_run: dmar_pci_bus_notifier
      ${callback('dmar_pci_bus_notifier', 1)}
      ${returned('dmar_pci_bus_notifier', '1')}
      a notifier_run: iommu_bus_notifier
      ${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '0x8001')}
      ${CALL_RETURN('0x8001')}`,
  },
  {
    rule: 'B.1',
    what: 'a raw errno stops the chain as a callback value (D-A1-8)',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      a notifier_run: iommu_bus_notifier
      ${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '0xffffffef')}
      ${CALL_RETURN('-17')}`,
  },
  { rule: 'B.3', what: 'a whole life', kernel: 'v7.2', script: LIFE('a REMOVED') },
  { rule: 'B.3', what: 'a whole life', kernel: 'v5.10', script: LIFE('a REMOVED') },
  { rule: 'B.3', what: 'a whole life, without REMOVED', kernel: 'v3.6', script: LIFE('a ADD') },
  {
    rule: 'B.3',
    what: 'a failing dma_configure',
    kernel: 'v5.10',
    script: `
      a ADD
      a NOTBOUND`,
  },
  {
    rule: 'B.2',
    what: 'nested calls return, the inner ones first',
    kernel: 'v6.12',
    script: `
      a tracing_mark_write: here
      a device_add: D
      a iommu_probe_device: D
      b device_add: D2
      b device_add_ret: ret=0
      a iommu_probe_device_ret: ret=-19
      a device_add_ret: ret=0`,
  },
  {
    rule: 'IOVA-unmap',
    what: 'what was mapped is unmapped',
    kernel: 'v6.12',
    script: `
      a map: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 paddr=0x0000000000100000 size=4096
      a unmap: IOMMU: iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=4096`,
  },
  {
    rule: 'IOVA-map',
    what: 'mapped again after it was unmapped, and for another device',
    kernel: 'v6.12',
    script: `
      a map: IOMMU: dev=D iova=0x0000000000001000 - 0x0000000000002000 paddr=0x100000 size=4096
      a map: IOMMU: dev=D2 iova=0x0000000000001000 - 0x0000000000002000 paddr=0x100000 size=4096
      a unmap: IOMMU: dev=D iova=0x0000000000001000 - 0x0000000000002000 size=4096 unmapped_size=4096
      a map: IOMMU: dev=D iova=0x0000000000001000 - 0x0000000000002000 paddr=0x200000 size=4096`,
  },
];

describe('a trace that keeps a rule', () => {
  it.each(HELD)('$rule, $kernel: $what', async ({ rule, kernel, script }) => {
    const { result } = await replayTrace(kernel, script);
    expect(violations(result)).toEqual([]);
    expect(verdict(result, rule)).toMatchObject({ status: 'holds', inconclusive: [] });
    expect(verdict(result, rule).checks).toBeGreaterThan(0);
  });
});

describe('INV-46, uevents', () => {
  const HEAD = `monitor will print the received events for:
UDEV - the event which udev sends out after rule processing
KERNEL - the kernel uevent
`;
  const uevent = (time: number, action: string, mark = '') =>
    `${mark}KERNEL[${time.toFixed(6)}] ${action.padEnd(8)} /devices/pci0000:00/0000:00:04.0/0000:04:00.0 (pci)
ACTION=${action}
DEVPATH=/devices/pci0000:00/0000:00:04.0/0000:04:00.0
SUBSYSTEM=pci
`;
  const monitor = (...events: string[]) => markedText(`${HEAD}\n${events.join('\n')}`);

  it.each<[string, readonly string[]]>([
    ['bind after remove', ['add', 'remove', '!bind']],
    ['unbind without bind', ['add', '!unbind']],
    ['remove while bound', ['add', 'bind', '!remove']],
    ['remove twice', ['remove', '!remove']],
  ])('is broken by %s', async (_title, actions) => {
    const { text, marked } = monitor(
      ...actions.map((a, n) => uevent(140 + n, a.replace('!', ''), a.startsWith('!') ? '!' : '')),
    );
    const result = await replayTexts('v6.12', { 'udevadm.txt': text });
    expect(violations(result)).toEqual([`INV-46@${marked[0]}`]);
  });

  it('holds in a life after another', async () => {
    const life = ['add', 'bind', 'unbind', 'remove', 'add', 'bind'];
    const { text } = monitor(...life.map((a, n) => uevent(140 + n, a)));
    const result = await replayTexts('v6.12', { 'udevadm.txt': text });
    expect(violations(result)).toEqual([]);
    expect(verdict(result, 'INV-46')).toMatchObject({ status: 'holds', checks: 6 });
  });

  /** Notifications a second apart, so that no uevent belongs to the time before the trace. */
  const trace = traceText(
    'v6.12',
    Array.from({ length: 2500 }, (_, n) =>
      n === 0 ? 'a ADD' : n === 2000 ? 'a BIND' : n === 2100 ? 'a BOUND' : 'c sched_x: nothing',
    ).join('\n'),
  ).text;

  it.each([
    ['holds when bind is received after BOUND_DRIVER', 142.101, []],
    ['holds when clocks differ by less than allowed', 142.09, []],
    ['is broken by a bind long before BOUND_DRIVER', 141.5, ['INV-46']],
  ])('%s', async (_title, time, broken) => {
    const { text } = monitor(uevent(140.001, 'add'), uevent(time, 'bind'));
    const result = await replayTexts('v6.12', { 'trace.txt': trace, 'udevadm.txt': text });
    expect(result.clocksAligned).toBe(true);
    expect(result.verdicts.filter((v) => v.status === 'violated').map((v) => v.rule.id)).toEqual(
      broken,
    );
  });
});

describe('SYSFS, a snapshot taken afterwards', () => {
  const trace = traceText(
    'v6.12',
    `${GROUP_20}
     a __iommu_attach_device: domain=0xffff8880000d0000 dtype=0xb D grp=20 gptr=0xffff8880054b2900
     a ADD D2
     a add_device_to_group: IOMMU: groupID=20 device=D2
     a really_probe: D2 drv="e1000e"
     a BIND D2
     a BOUND D2`,
  ).text;
  const snapshot = (group: string, second: string) =>
    markedText(`# uname: Linux lab 6.12.117+deb13-amd64 #1 SMP x86_64 GNU/Linux
# uptime: 141.00 150.00
## iommu_groups
${group}
## pci_devices
pci 0000:04:00.0 0x8086:0x10d3 class=0x020000 driver=none group=20 path=../../../devices/pci0000:00/0000:04:00.0
${second}`);
  const GROUP = 'group 20 type=DMA-FQ name= devices=0000:04:00.0 0000:04:00.1 ';
  const second = (driver: string, group: number) =>
    `pci 0000:04:00.1 0x8086:0x10d3 class=0x020000 driver=${driver} group=${group} path=../../../devices/pci0000:00/0000:04:00.1`;

  async function compare({ text }: { readonly text: string }) {
    // The first device was there before the trace began: its driver is not known to replay.
    return replayTexts('v6.12', { 'trace.txt': trace, 'sysfs-after.txt': text }, (path) => ({
      files: [path('trace.txt')],
      sysfsAfter: path('sysfs-after.txt'),
    }));
  }

  it.each([
    ['another driver', snapshot(GROUP, `!${second('vfio-pci', 20)}`)],
    ['another group of a device', snapshot(GROUP, `!${second('e1000e', 21)}`)],
    ['another type', snapshot(`!${GROUP.replace('DMA-FQ', 'identity')}`, second('e1000e', 20))],
    [
      'another member',
      snapshot('!group 20 type=DMA-FQ name= devices=0000:04:00.0 ', second('e1000e', 20)),
    ],
  ])('is broken by %s', async (_title, text) => {
    const result = await compare(text);
    expect(violations(result)).toEqual([`SYSFS@${text.marked[0]}`]);
    expect(verdict(result, 'SYSFS').violations[0].at.origin.file).toMatch(/sysfs-after\.txt$/);
  });

  it('holds in all that replay knows', async () => {
    const result = await compare(snapshot(GROUP, second('e1000e', 20)));
    expect(violations(result)).toEqual([]);
    const { checks, inconclusive } = verdict(result, 'SYSFS');
    expect(checks).toBeGreaterThanOrEqual(7);
    expect(inconclusive.map((d) => d.cause)).toEqual(['not recorded']);
  });
});

describe('a rule that the generation does not have', () => {
  it.each([
    ['INV-01', 'v6.1'],
    ['INV-05', 'v6.1'],
    ['INV-07', 'v3.6'],
    ['INV-07', 'v5.8'],
    ['INV-08', 'v5.10'],
    ['INV-08', 'v3.6'],
    ['INV-09', 'v3.6'],
    ['INV-35', 'v5.10'],
  ])('%s on %s is inconclusive: not in this kernel', async (rule, kernel) => {
    const script =
      kernel === 'v3.6'
        ? LIFE('a ADD')
        : `${GROUP_20}\n${LIFE('a REMOVED')}\na ADD\na BIND\na NOTBOUND`;
    const { result } = await replayTrace(kernel, script);
    expect(violations(result)).toEqual([]);
    expect(verdict(result, rule)).toMatchObject({
      status: 'inconclusive',
      checks: 0,
      inconclusive: [{ cause: 'not in this kernel' }],
    });
  });

  it.each(['v3.6', 'v4.14', 'v5.10', 'v6.1', 'v6.12', 'v7.2'])(
    'is never put to the test on %s',
    async (kernel) => {
      const { result } = await replayTrace(kernel, LIFE('a ADD'));
      for (const { rule, checks } of result.verdicts) {
        if (rule.under(profileByName(kernel)!) === undefined)
          expect([rule.id, checks]).toEqual([rule.id, 0]);
      }
    },
  );
});

describe('a kernel that the trace contradicts', () => {
  it.each([
    [
      'an action that it does not have',
      'v6.12',
      `a ADD
       a UNBIND
       a blocking_notifier_call_chain: nh=${BUS_CHAIN} val=0x8 D`,
    ],
    [
      'a function that it does not have',
      'v5.10',
      `a ADD
       a UNBIND
       a iommu_group_claim_dma_owner: group=20`,
    ],
  ])('makes every rule inconclusive: %s', async (_title, kernel, script) => {
    const result = await replayTexts(kernel, { 'trace.txt': traceText(kernel, script).text });
    expect(violations(result)).toEqual([]);
    expect(result.verdicts.filter((v) => v.status !== 'inconclusive')).toEqual([]);
    expect(verdict(result, 'B.3').inconclusive.map((d) => d.cause)).toEqual(['wrong kernel']);
  });
});

describe('a loss', () => {
  it('makes what it hides inconclusive', async () => {
    const { result } = await replayTrace(
      'v6.12',
      `
      a ADD
      CPU:0 [LOST 5 EVENTS]
      a UNBIND
      a UNBOUND`,
    );
    expect(violations(result)).toEqual([]);
    expect(verdict(result, 'B.3')).toMatchObject({
      status: 'inconclusive',
      inconclusive: [{ cause: 'lost events', count: 1 }],
    });
    expect(result.lossCount).toBe(5);
  });

  it('takes back a violation that another CPU showed inside the interval', async () => {
    const { result } = await replayTrace(
      'v6.12',
      `
      a@0 ADD
      b@1 UNBIND
      CPU:0 [LOST 5 EVENTS]
      a@0 ADD D2`,
    );
    expect(violations(result)).toEqual([]);
    expect(verdict(result, 'B.3')).toMatchObject({
      status: 'inconclusive',
      violationCount: 0,
      inconclusive: [{ cause: 'lost events' }],
    });
  });

  it('leaves a violation before the interval as it is', async () => {
    const { result, marked } = await replayTrace(
      'v6.12',
      `
      a ADD
      !a UNBIND
      a UNBOUND
      CPU:0 [LOST 5 EVENTS]
      a BIND`,
    );
    expect(violations(result)).toEqual([`B.3@${marked[0]}`]);
    expect(verdict(result, 'B.3')).toMatchObject({
      status: 'violated',
      inconclusive: [{ cause: 'lost events' }],
    });
  });

  it('leaves a violation after the interval, once a later event fixed the state', async () => {
    const { result, marked } = await replayTrace(
      'v6.12',
      `
      a ADD
      CPU:0 [LOST 5 EVENTS]
      a BIND
      a BOUND
      !a BIND`,
    );
    expect(violations(result)).toEqual([`B.3@${marked[0]}`]);
  });

  it('takes back the violation of any rule, and leaves none that holds', async () => {
    const { result } = await replayTrace(
      'v6.12',
      `
      a@0 tracing_mark_write: here
      b@1 add_device_to_group: IOMMU: groupID=20 device=D
      b@1 add_device_to_group: IOMMU: groupID=20 device=D
      b@1 remove_device_from_group: IOMMU: groupID=20 device=D
      CPU:0 [LOST 1 EVENTS]
      a@0 tracing_mark_write: here`,
    );
    expect(violations(result)).toEqual([]);
    expect(result.verdicts.filter((v) => v.status === 'holds')).toEqual([]);
    expect(verdict(result, 'INV-02').inconclusive.map((d) => d.cause)).toEqual(['lost events']);
  });

  it('of uevents says nothing against the trace', async () => {
    const { text } = traceText('v6.12', LIFE('a REMOVED'));
    const monitor = 'Monitor: receive buffer overrun';
    const result = await replayTexts('v6.12', {
      'trace.txt': text,
      'udevadm.txt': `monitor will print the received events for:\nKERNEL - the kernel uevent\n\n${monitor}\n`,
    });
    expect(verdict(result, 'B.3').status).toBe('holds');
  });
});

/** Traces at the edge of a rule, each with the violations that a careful reader would name. */
const EDGES: readonly (Omit<Case, 'rule'> & { readonly expected: readonly string[] })[] = [
  {
    // A new Group begins as `unknown`, where `release` is never a violation; dropGroup forgets it.
    what: 'INV-19: a group is released with a member that was seen to join',
    kernel: 'v6.12',
    script: `${GROUP_20}
      !a iommu_group_release: kobj="20"`,
    expected: ['INV-19'],
  },
  {
    what: 'INV-19: the same for a group whose id was released before',
    kernel: 'v6.12',
    script: `${GROUP_20}
      ${LEAVES_20}
      a iommu_group_release: kobj="20"
      a iommu_group_alloc: x
      ${GROUP_20}
      !a iommu_group_release: kobj="20"`,
    expected: ['INV-19'],
  },
  {
    // entered() returns before it notes the detach, and no case of ended() calls left().
    what: 'INV-34: a detach whose return is probed leaves the device attached',
    kernel: 'v6.1',
    script: `${GROUP_20}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a iommu_detach_group: group=20 ${USER_DOMAIN}
      !a iommu_detach_group_ret: ret=0
      a tracing_mark_write: done`,
    expected: ['INV-34'],
  },
  {
    what: 'INV-11: still checked after a detach whose return is probed',
    kernel: 'v6.1',
    script: `${ON_DEFAULT}
      a iommu_detach_group: group=20 ${USER_DOMAIN}
      a iommu_detach_group_ret: ret=0
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${USER_DOMAIN} D
      !a iommu_attach_group_ret: ret=0`,
    expected: ['INV-11'],
  },
  {
    what: 'INV-11: still checked after a release of ownership whose return is probed',
    kernel: 'v6.12',
    script: `${ON_DEFAULT}
      a iommu_group_release_dma_owner: group=20
      a iommu_group_release_dma_owner_ret: ret=0
      a iommu_attach_group: group=20 ${USER_DOMAIN}
      a __iommu_attach_device: ${USER_DOMAIN} D
      !a iommu_attach_group_ret: ret=0`,
    expected: ['INV-11'],
  },
  {
    what: 'INV-08: not a rule of v5.10, where B.3 forbids NOT_BOUND of a bound device',
    kernel: 'v5.10',
    script: `
      a ADD
      a BIND
      a BOUND
      !a NOTBOUND`,
    expected: ['B.3'],
  },
  {
    what: 'INV-01b: K10 is told once, not again at ADD and at UNBIND',
    kernel: 'v6.12',
    script: `
      a device_add: D grp=0 gptr=0x0
      !b BIND
      b BOUND
      a ADD
      a UNBIND
      a UNBOUND
      a DEL
      a REMOVED`,
    expected: ['INV-01b'],
  },
  {
    what: 'B.3: ADD without REMOVED of the device before is no INV-01b',
    kernel: 'v6.12',
    script: `
      a ADD
      a DEL
      !a ADD`,
    expected: ['B.3'],
  },
  {
    // AD8 precedes AD9 and the tracepoint comes after both: the device is in the group.
    what: 'INV-01: DEL overtakes ADD (P-A1-1), which is no INV-05',
    kernel: 'v5.10',
    script: `
      c UNBOUND D2
      c iommu_group_add_device: group=20 D2
      c group ADD D2
      c iommu_group_add_device_ret: ret=0
      a ADD
      a iommu_group_add_device: group=20 D
      !b group DEL
      a group ADD
      a iommu_group_add_device_ret: ret=0`,
    expected: ['INV-01'],
  },
  {
    // membership stays `violated.removedWithoutAdd`, which is not `none`.
    what: 'INV-03: a second removal is told once, not again as INV-42',
    kernel: 'v5.10',
    script: `${GROUP_20}
      ${LEAVES_20}
      !b remove_device_from_group: IOMMU: groupID=20 device=D
      ${republish(4, '')}`,
    expected: ['INV-03'],
  },
  {
    what: 'B.1: a wrong order is told once where callbacks have no return probe',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      ${callback('iommu_bus_notifier', 0)}
      !${callback('dmar_pci_bus_notifier', 1)}
      ${CALL_RETURN('0')}`,
    expected: ['B.1'],
  },
  {
    what: 'B.1: a callback after a STOP that stops too is told once',
    kernel: 'v6.12',
    script: `
      ${ADD_CALL}
      ${callback('dmar_pci_bus_notifier', 1)}
      ${returned('dmar_pci_bus_notifier', '0x8001')}
      !${callback('iommu_bus_notifier', 0)}
      ${returned('iommu_bus_notifier', '0x8001')}
      ${CALL_RETURN('0x8001')}`,
    expected: ['B.1'],
  },
  {
    // Neither notification was sent on the bus's chain: its address is known.
    what: 'nothing: on v5.10 the group chain is not taken for the bus, whatever is probed',
    kernel: 'v5.10',
    script: `
      a ADD
      a group ADD
      a BIND
      a group BIND
      a BOUND
      a group BOUND`,
    expected: [],
  },
  {
    what: 'nothing: DEL on the group chain inside iommu_group_remove_device with a return probe',
    kernel: 'v5.10',
    script: `
      a ADD
      a group ADD
      a DEL
      a REMOVED
      a iommu_group_remove_device: D grp=20 gptr=0xffff8880054b2900
      a group DEL
      a iommu_group_remove_device_ret: ret=0`,
    expected: [],
  },
  {
    // dma_cleanup gives the default domain back at every unbind, probed or not.
    what: 'nothing: claimed after the driver was unbound, its unuse_default_domain not probed',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      a iommu_device_use_default_domain_ret: ret=0
      a BIND
      a BOUND
      a UNBIND
      a UNBOUND
      b iommu_group_claim_dma_owner: group=20
      b iommu_group_claim_dma_owner_ret: ret=0`,
    expected: [],
  },
  {
    what: 'nothing: claimed after a failed probe, its unuse_default_domain not probed',
    kernel: 'v6.12',
    script: `${GROUP_20}
      a iommu_device_use_default_domain: D grp=20 gptr=0xffff8880054b2900
      a iommu_device_use_default_domain_ret: ret=0
      a BIND
      a NOTBOUND
      b iommu_group_claim_dma_owner: group=20
      b iommu_group_claim_dma_owner_ret: ret=0`,
    expected: [],
  },
  {
    // detach_device_from_domain (up to v6.2) is read and not used.
    what: 'nothing: a domain is freed after detach_device_from_domain',
    kernel: 'v5.10',
    script: `${GROUP_20}
      a __iommu_attach_device: ${USER_DOMAIN} D
      a attach_device_to_domain: IOMMU: device=D
      a detach_device_from_domain: IOMMU: device=D
      a iommu_domain_free: ${USER_DOMAIN}`,
    expected: [],
  },
];

describe('at the edge of a rule', () => {
  it.each(EDGES)('$kernel, $what', async ({ kernel, script, expected }) => {
    const { result, marked } = await replayTrace(kernel, script);
    expect(violations(result)).toEqual(expected.map((rule) => `${rule}@${marked[0]}`));
  });

  it('INV-42 is no rule of v6.12, whatever was recorded', async () => {
    const { result } = await replayTrace('v6.12', `${GROUP_20}\n${republish(3, '')}`);
    expect(verdict(result, 'INV-42').inconclusive.map((d) => d.cause)).toEqual([
      'not in this kernel',
    ]);
  });

  it('a range mapped twice without a device is a doubt, not a violation', async () => {
    const { result } = await replayTrace(
      'v6.12',
      `a map: IOMMU: iova=0x1000 - 0x2000 paddr=0x100000 size=4096
       a map: IOMMU: iova=0x1000 - 0x2000 paddr=0x100000 size=4096`,
    );
    expect(verdict(result, 'IOVA-map')).toMatchObject({ status: 'inconclusive', checks: 2 });
  });
});

describe('the catalogue', () => {
  it('has a violating and a keeping trace here for every rule', () => {
    const elsewhere = ['INV-46', 'SYSFS'];
    const ids = REPLAY_RULES.map((r) => r.id).filter((id) => !elsewhere.includes(id));
    expect([...new Set(HELD.map((c) => c.rule))].sort()).toEqual([...ids].sort());
    // INV-19 is violated at its edge only.
    expect([...new Set([...VIOLATED.map((c) => c.rule), 'INV-19'])].sort()).toEqual(ids.sort());
  });
});
