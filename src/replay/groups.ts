/**
 * Groups, domains and DMA ownership. Sources: A1.3, C.1–C.3.
 */

import { NO_NUMBER } from '../../events/batch.js';
import { NULL_POINTER } from '../../events/intern.js';
import { DMA_OWNERSHIP_EVENTS } from '../../machines/dma-ownership.js';
import { DOMAIN_EVENTS } from '../../machines/domain.js';
import { GROUP_EVENTS } from '../../machines/group.js';
import { isMember, MEMBERSHIP_EVENTS } from '../../machines/membership.js';
import type { Context } from './context.js';
import { domainTypeName, isDefaultDomainType } from './domain-type.js';
import { Role } from './roles.js';
import type { CheckCounter } from './verdicts.js';
import type { Device, Frame, Group, Task } from './world.js';

function indexOf<T extends string>(names: readonly T[]): Record<T, number> {
  return Object.fromEntries(names.map((name, i) => [name, i])) as Record<T, number>;
}
const M = indexOf(MEMBERSHIP_EVENTS);
const G = indexOf(GROUP_EVENTS);
const O = indexOf(DMA_OWNERSHIP_EVENTS);
const D = indexOf(DOMAIN_EVENTS);

export class GroupTracker {
  private readonly inv03: CheckCounter;

  constructor(private readonly ctx: Context) {
    this.inv03 = ctx.verdicts.counter('INV-03');
  }

  /** Tracepoint add_device_to_group. */
  added(device: Device, id: number): void {
    const { ctx } = this;
    const { world, machines, verdicts } = ctx;
    world.authority.membership = 3;
    const before = device.group;
    const rule = machines.membership.breaks(device.membership, M.add);
    device.membership = machines.membership.next(device.membership, M.add);
    verdicts.check('INV-02');
    if (rule !== undefined && !ctx.recorded.removals && !device.notified.known) {
      ctx.verdicts.doubt(
        'INV-02',
        'not recorded',
        `${device.name} is added twice, and no removal from any group was recorded`,
      );
    } else if (rule !== undefined) {
      ctx.violate(rule, `${device.name} is added to group ${id} while it is in group ${before}`, {
        dev: device,
        group: id,
        related: [device.moved],
      });
    }
    device.present = true;
    this.place(device, id);
    const group = world.group(id);
    group.life = machines.group.next(group.life, G.add);
  }

  /** Tracepoint remove_device_from_group. */
  removed(device: Device, id: number): void {
    const { ctx } = this;
    const { world, machines, verdicts } = ctx;
    world.authority.membership = 3;
    const member = isMember(machines.membership.stateName(device.membership)) === true;
    const event = member && device.group !== id ? M['remove.other'] : M['remove.same'];
    const before = device.group;
    const rule = machines.membership.breaks(device.membership, event);
    device.membership = machines.membership.next(device.membership, event);
    verdicts.check('INV-03');
    if (rule !== undefined) {
      ctx.violate(
        rule,
        event === M['remove.other']
          ? `${device.name} is removed from group ${id} but is in group ${before}`
          : `${device.name} is removed from group ${id}, which it had not been added to`,
        { dev: device, group: id, related: [device.moved] },
      );
    }
    const group = world.group(id);
    group.life = machines.group.next(group.life, G.remove);
    this.leaveDomain(device);
    this.place(device, null);
    // Without a probe on iommu_group_release an empty group is as good as gone.
    if (group.members.size === 0 && !world.functions.has('iommu_group_release')) {
      world.touchGroup(group);
    }
  }

  private place(device: Device, id: number | null): void {
    const { ctx } = this;
    ctx.world.move(device, id);
    device.groupSince.set(ctx.batch, ctx.i);
    device.moved.set(ctx.batch, ctx.i);
    device.uncertain = false;
  }

  /**
   * The chain call at which the IOMMU core takes a device out of its group has returned. Source:
   * C.4, iommu_bus_notifier.
   */
  passedRemoval(device: Device): void {
    const { ctx } = this;
    const state = ctx.machines.membership.stateName(device.membership);
    if (isMember(state) === undefined) return;
    ctx.verdicts.check('INV-03');
    if (isMember(state) === true && !ctx.recorded.removals) {
      ctx.verdicts.doubt(
        'INV-03',
        'not recorded',
        `${device.name}: ${ctx.profile.groupLeftAt} was handled, and no remove_device_from_group is in the input`,
      );
    } else if (isMember(state) === true) {
      ctx.violate(
        'INV-03',
        `${device.name}: ${ctx.profile.groupLeftAt} was handled, but the device did not leave group ${device.group}`,
        { dev: device, related: [device.moved] },
      );
      device.membership = ctx.machines.membership.next(device.membership, M.released);
    }
  }

  /** dev->iommu_group as a notification's probe printed it: INV-03. */
  pointer(device: Device): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    if (batch.gptr[i] <= NULL_POINTER || device.probing > 0) return;
    const member = isMember(ctx.machines.membership.stateName(device.membership));
    if (member === undefined) return;
    this.inv03.checks++;
    const isNull = ctx.text(batch.gptr[i]) === '0x0';
    const printed = batch.devGroup[i];
    if (isNull !== member) {
      if (!isNull && printed !== NO_NUMBER && printed !== device.group) {
        ctx.violate(
          'INV-03',
          `${device.name} was added to group ${device.group} but dev->iommu_group is group ${printed}`,
          { dev: device, related: [device.moved] },
        );
      }
      return;
    }
    ctx.violate(
      'INV-03',
      isNull
        ? `${device.name} is in group ${device.group} but dev->iommu_group is NULL`
        : `${device.name} is in no group but dev->iommu_group is group ${printed}`,
      { dev: device, related: [device.moved] },
    );
  }

  /** iommu_group_release of the kobject with this name. */
  released(name: string | undefined): void {
    const { ctx } = this;
    const id = Number(name);
    if (name === undefined || !Number.isInteger(id)) return;
    const group = ctx.world.groups.get(id);
    if (group === undefined) return;
    const { machines } = ctx;
    const rule = machines.group.breaks(group.life, G.release);
    group.life = machines.group.next(group.life, G.release);
    ctx.verdicts.check('INV-19');
    for (const device of group.members) {
      if (isMember(machines.membership.stateName(device.membership)) === true) {
        device.membership = machines.membership.next(device.membership, M.released);
      }
    }
    if (rule !== undefined) {
      ctx.violate(
        'INV-19',
        `group ${id} is released with ${[...group.members].map((d) => d.name).join(', ') || 'devices'} in it`,
        {
          group: id,
        },
      );
    }
    ctx.world.dropGroup(group);
  }

  /** Entry of __iommu_attach_device(domain, dev). */
  attaching(task: Task, device: Device): void {
    const { ctx } = this;
    const { batch, i } = ctx;
    task.attaching = device;
    task.attachDomain = ctx.text(batch.ptr[i]);
    task.attachType = Number.isNaN(batch.b[i]) ? undefined : batch.b[i];
    if (!ctx.recorded.attachTracepoint) this.attached(task, device);
  }

  /** Tracepoint attach_device_to_domain: the attach succeeded. */
  attached(task: Task, device: Device): void {
    const { ctx } = this;
    const { world, machines } = ctx;
    if (task.attaching !== device) return;
    task.attaching = undefined;
    this.leaveDomain(device);
    device.domain = task.attachDomain;
    device.domainType = task.attachType;
    if (device.domain !== undefined) {
      const domain = world.domain(device.domain);
      domain.attached++;
      domain.life = machines.domain.next(domain.life, D.attach);
    }
    if (typeof device.group === 'number' && task.attachType !== undefined) {
      const group = world.group(device.group);
      if (isDefaultDomainType(task.attachType)) group.type = task.attachType;
      world.touchGroup(group);
    }
    world.touch(device);
  }

  /** Tracepoint detach_device_from_domain (up to v6.2). */
  detached(device: Device): void {
    this.leaveDomain(device);
    this.ctx.world.touch(device);
  }

  private leaveDomain(device: Device): void {
    if (device.domain === undefined) return;
    const domain = this.ctx.world.domains.get(device.domain);
    device.domain = undefined;
    device.domainType = undefined;
    if (domain === undefined) return;
    domain.attached--;
    if (domain.attached <= 0) {
      domain.attached = 0;
      domain.life = this.ctx.machines.domain.next(domain.life, D.left);
    }
  }

  /** Entry of iommu_domain_free. */
  domainFreed(address: string | undefined): void {
    const { ctx } = this;
    const { world, machines } = ctx;
    // A driver's static identity or blocking domain lies in the kernel image and is never freed.
    if (address === undefined || STATIC_OBJECT.test(address)) return;
    ctx.verdicts.check('INV-20');
    const domain = world.domains.get(address);
    if (domain === undefined) return;
    const rule = machines.domain.breaks(domain.life, D.free);
    domain.life = machines.domain.next(domain.life, D.free);
    if (rule !== undefined) {
      const user = [...world.devices.values()].find((device) => device.domain === address);
      ctx.violate(
        'INV-20',
        `domain ${address} is freed while ${user?.name ?? 'a device'} is attached to it`,
        { dev: user },
      );
      for (const device of world.devices.values()) {
        if (device.domain === address) device.domain = undefined;
      }
    }
    // The address may be given to a new domain at once.
    world.domains.delete(address);
  }

  /** Entry of a call that may change the domain of group `id`; `returns`: its end will be seen. */
  entered(task: Task, role: Role, group: Group | undefined, frame: Frame | undefined): void {
    const { ctx } = this;
    if (group === undefined) return;
    if (role === Role.DetachGroup) {
      group.detaching = ctx.text(ctx.batch.ptr[ctx.i]);
      group.detachedAt.set(ctx.batch, ctx.i);
    }
    if (frame !== undefined) {
      frame.group = group;
      group.inFlight++;
      frame.epoch = group.ownershipEpoch;
      return;
    }
    task.settling = group;
    group.settling = task;
  }

  /** A call that was `entered` with a frame has ended. */
  left(frame: Frame): void {
    const { group } = frame;
    if (group === undefined) return;
    group.inFlight = Math.max(0, group.inFlight - 1);
    this.atRest(group);
  }

  /** The task went on: the call whose return no probe shows is over. */
  settled(task: Task): void {
    const group = task.settling!;
    task.settling = undefined;
    if (group.settling === task) group.settling = undefined;
    this.atRest(group);
  }

  /** INV-11 and INV-34: nothing is in flight on the group. */
  private atRest(group: Group): void {
    const { ctx } = this;
    if (group.inFlight > 0 || group.settling !== undefined || group.uncertain) return;
    const left = group.detaching;
    group.detaching = undefined;
    if (left !== undefined) {
      ctx.verdicts.check('INV-34');
      for (const device of group.members) {
        if (device.domain !== left) continue;
        ctx.violate(
          'INV-34',
          `${device.name} is still attached to ${left} after iommu_detach_group of group ${group.id}`,
          { dev: device, group: group.id, related: [group.detachedAt] },
        );
      }
    }
    let first: Device | undefined;
    for (const device of group.members) {
      if (device.domain === undefined) continue;
      if (first === undefined) {
        first = device;
        continue;
      }
      ctx.verdicts.check('INV-11');
      if (device.domain !== first.domain) {
        ctx.violate(
          'INV-11',
          `group ${group.id}: ${first.name} is attached to ${show(first)}, ${device.name} to ${show(device)}`,
          { dev: device, group: group.id },
        );
        return;
      }
    }
  }

  /** At the end of the log every group is at rest whose calls have returned. */
  finish(): void {
    for (const task of this.ctx.world.tasks.values()) {
      if (task.settling !== undefined) {
        // The trace may end inside the call.
        task.settling.settling = undefined;
        task.settling = undefined;
      }
    }
  }

  /** iommu_group_claim_dma_owner returned. */
  claimed(frame: Frame, ret: number): void {
    const { ctx } = this;
    const { group } = frame;
    if (group === undefined || Number.isNaN(ret)) return;
    ctx.verdicts.check('INV-35');
    if (ret !== 0) return;
    const user = [...group.members].find(
      (d) => d.usesDefaultSince >= 0 && d.usesDefaultSince < frame.place.seq,
    );
    this.ownership(group, user === undefined ? O.claimed : O['claimed.inUse'], () =>
      user === undefined
        ? `group ${group.id} is claimed while it is owned`
        : `group ${group.id} is claimed while ${user.name} is bound to ${user.driver ?? 'a driver'} that uses the DMA API`,
    );
    group.ownedSince.set(ctx.batch, ctx.i);
    group.ownershipEpoch++;
  }

  /** Entry of iommu_group_release_dma_owner. */
  releasing(group: Group): void {
    this.ownership(group, O.releasing, () => '');
    group.ownershipEpoch++;
  }

  private ownership(group: Group, event: number, message: () => string): void {
    const { ctx } = this;
    const machine = ctx.machines.ownership;
    const rule = machine.breaks(group.ownership, event);
    group.ownership = machine.next(group.ownership, event);
    if (rule !== undefined) {
      ctx.violate('INV-35', message(), { group: group.id, related: [group.ownedSince] });
    }
    ctx.world.touchGroup(group);
  }

  /** iommu_device_use_default_domain was entered. */
  using(frame: Frame, device: Device): void {
    if (typeof device.group !== 'number') return;
    const group = this.ctx.world.group(device.group);
    frame.epoch = group.ownershipEpoch;
    frame.ownedAtEntry = this.ctx.machines.ownership.stateName(group.ownership) === 'owned';
  }

  /** iommu_device_use_default_domain returned. */
  used(frame: Frame, ret: number): void {
    const { ctx } = this;
    const device = frame.dev;
    if (device === undefined || typeof device.group !== 'number' || Number.isNaN(ret)) return;
    ctx.verdicts.check('INV-35');
    if (ret !== 0) return;
    device.usesDefaultSince = ctx.seq;
    const group = ctx.world.group(device.group);
    const within = frame.ownedAtEntry && frame.epoch === group.ownershipEpoch;
    this.ownership(
      group,
      within ? O['used.within'] : O['used.overlapped'],
      () => `${device.name} may use the DMA API although group ${group.id} is owned`,
    );
  }

  unused(device: Device): void {
    device.usesDefaultSince = -1;
  }

  /** device_add: the object is new, whatever an older one of this name was in. */
  born(device: Device): void {
    const { ctx } = this;
    // Where no tracepoint tells who joins, a new device may be in a group all the same.
    device.membership = ctx.machines.membership.next(
      device.membership,
      ctx.recorded.membership ? M.born : M.lost,
    );
    this.leaveDomain(device);
    ctx.world.move(device, null);
    device.groupSince.set(ctx.batch, ctx.i);
  }
}

/** Addresses of the kernel image and its modules (x86-64). */
const STATIC_OBJECT = /^0xffffffff[89a-f]/;

function show(device: Device): string {
  return `${device.domain} (${device.domainType === undefined ? 'type unknown' : domainTypeName(device.domainType)})`;
}
