/**
 * An IOMMU group on a bus that runs: its devices, and its own notifier chain in the generations that
 * had one (v3.6 – v5.18). Source: A1.3.
 */

import { EEXIST } from '../../machines/errno.js';
import { concat, defer, EMPTY, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { GroupAction } from '../../events/actions.js';
import type { BusDevice } from './bus-device.js';
import type { HotplugNotification } from './hotplug-notification.js';
import type { NotifierBlock } from './notifier-block.js';
import { NotifiedChain } from './notified-chain.js';
import { UnsupportedByKernelError } from '../../machines/unsupported-by-kernel.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { WriteResult } from './write-result.js';

export class IommuGroup {
  /** What the group's chain is called with, hot; nothing in generations without one. */
  readonly notifications$: Observable<HotplugNotification>;
  private readonly notified: NotifiedChain<GroupAction>;
  private readonly members: BusDevice[] = [];

  /** @param describe makes the notification of a device and this group */
  constructor(
    readonly id: number,
    private readonly profile: KernelProfile,
    private readonly describe: (action: GroupAction, device: BusDevice) => HotplugNotification,
  ) {
    this.notified = new NotifiedChain(`iommu group ${id}`, profile);
    this.notifications$ = this.notified.notifications$;
  }

  /** Names, in the order in which the devices came. */
  get devices(): readonly string[] {
    return this.members.map(({ name }) => name);
  }

  /**
   * iommu_group_register_notifier; as NotifierChain.register.
   *
   * @throws UnsupportedByKernelError from v5.19 on
   */
  register(block: NotifierBlock<HotplugNotification, GroupAction>): WriteResult {
    return this.chain('iommu_group_register_notifier').register(block);
  }

  /**
   * iommu_group_unregister_notifier; as NotifierChain.unregister.
   *
   * @throws UnsupportedByKernelError from v5.19 on
   */
  unregister(block: NotifierBlock<HotplugNotification, GroupAction>): WriteResult {
    return this.chain('iommu_group_unregister_notifier').unregister(block);
  }

  /**
   * iommu_group_add_device, AD7–AD10.
   *
   * @returns emits 0, or -EEXIST: the device is in a group (AD2)
   */
  addDevice(device: BusDevice): Observable<number> {
    return defer(() => {
      if (device.group !== null) return of(-EEXIST);
      device.group = this;
      this.members.push(device);
      return concat(this.notify('ADD_DEVICE', device), of(0));
    });
  }

  /** iommu_group_remove_device, RM2–RM8: DEL_DEVICE while the device is still in. */
  removeDevice(device: BusDevice): Observable<number> {
    return concat(
      this.notify('DEL_DEVICE', device),
      defer(() => {
        const at = this.members.indexOf(device);
        if (at >= 0) this.members.splice(at, 1);
        if (device.group === this) device.group = null;
        return of(0);
      }),
    );
  }

  /** Calls the group's chain about a member, where the generation has such a chain. */
  notify(action: GroupAction, device: BusDevice): Observable<number> {
    return this.profile.groupNotifier
      ? defer(() => this.call(this.describe(action, device)))
      : EMPTY;
  }

  /** Calls the group's chain; emits 0 at the end, whatever its callbacks returned. */
  call(notification: HotplugNotification): Observable<number> {
    return this.notified.notify(notification);
  }

  complete(): void {
    this.notified.complete();
  }

  private chain(symbol: string) {
    if (!this.profile.groupNotifier) {
      throw new UnsupportedByKernelError(symbol, this.profile.name);
    }
    return this.notified.chain;
  }
}
