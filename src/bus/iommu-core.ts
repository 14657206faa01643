/**
 * The IOMMU core on one bus: its listener creates groups and, in the generations in which a group
 * had a chain, republishes what drivers do to it. Source: A1.3 BN1–BN7, INV-42.
 */

import { ENODEV } from '../../machines/errno.js';
import { concat, defer, ignoreElements, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { GROUP_ACTIONS } from '../../events/actions.js';
import type { BusAction, GroupAction } from '../../events/actions.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import type { BusDevice } from './bus-device.js';
import type { HotplugNotification } from './hotplug-notification.js';
import type { IommuGroup } from './iommu-group.js';
import { NOTIFY_DONE, NOTIFY_OK } from './notify-return.js';
import type { NotifierBlock } from './notifier-block.js';

/** What an IOMMU driver says. */
export interface IommuOps {
  /** The group that a device belongs to, as its id, or a negative errno. */
  deviceGroup(dev: string): number;
}

export class IommuCore {
  /** iommu_bus_nb */
  readonly block: NotifierBlock<HotplugNotification, BusAction>;

  /**
   * @param device the device that a notification is about
   * @param group the group of that id, made where there is none
   */
  constructor(
    private readonly profile: KernelProfile,
    private readonly ops: IommuOps,
    device: (name: string) => BusDevice | undefined,
    private readonly group: (id: number) => IommuGroup,
  ) {
    this.block = {
      name: 'iommu_bus_notifier',
      call: (action, { dev }) => {
        const about = device(dev);
        return about === undefined ? NOTIFY_DONE : this.notified(action, about);
      },
    };
  }

  /** ops->add_device, iommu_probe_device: emits 0 or a negative errno. */
  addDevice(device: BusDevice): Observable<number> {
    return defer(() => {
      const id = this.ops.deviceGroup(device.name);
      return id < 0 ? of(id) : this.group(id).addDevice(device);
    });
  }

  /** add_iommu_group, for each device that was there before: emits what stops the scan, or 0. */
  scan(device: BusDevice): Observable<number> {
    // Only the first generation asks for a device that has a group (P-A1-3).
    if (device.group !== null && !this.profile.addErrnoStops) return of(0);
    return this.addDevice(device).pipe(
      map((ret) => (ret === -ENODEV || this.profile.addErrnoStops ? 0 : ret)),
    );
  }

  private notified(action: BusAction, device: BusDevice): Observable<number> | number {
    if (action === 'ADD_DEVICE') {
      const { addErrnoStops } = this.profile;
      return this.addDevice(device).pipe(
        map((ret) => (addErrnoStops ? ret : ret === 0 ? NOTIFY_OK : NOTIFY_DONE)),
      );
    }
    const { group } = device;
    if (group === null) return 0;
    if (action === this.profile.groupLeftAt) return group.removeDevice(device);
    // Membership has actions of its own names, sent by AD9 and RM2.
    if (action === 'DEL_DEVICE' || !republished(action)) return 0;
    // What the group's listeners return is dropped: they cannot veto (BN6).
    return concat(group.notify(action, device).pipe(ignoreElements()), of(0));
  }
}

/** BN5. */
function republished(action: BusAction): action is GroupAction & BusAction {
  return (GROUP_ACTIONS as readonly string[]).includes(action);
}
