import type { ObservableInput } from 'rxjs';
import type { IommuGroup } from './iommu-group.js';
import { ReadSections } from './read-sections.js';
import { RwSem } from './rwsem.js';

/** A driver, as its owner wrote it. A promise or an observable is waited for; of
 * an observable the last value counts. */
export interface Driver {
  readonly name: string;
  /** 0 for bound, else a negative errno; 0 where left out. */
  probe?(dev: string): number | ObservableInput<number>;
  remove?(dev: string): void | ObservableInput<unknown>;
  /** bus->dma_configure for this driver: 0 or a negative errno; 0 where left out. */
  dmaConfigure?(dev: string): number | ObservableInput<number>;
}

/** struct device. One that is added again under its name is another one. */
export class BusDevice {
  driver: BusDriver | null = null;
  group: IommuGroup | null = null;
  dead = false;
  ready = false;
  /** Position on the bus's klist. */
  order = -1;
  readonly lock: RwSem;

  constructor(readonly name: string) {
    this.lock = new RwSem(`device_lock(${name})`, true);
  }
}

/** struct device_driver with its private part. */
export class BusDriver {
  readonly name: string;
  /** Its devices, the last bound last. */
  readonly bound: BusDevice[] = [];
  order = -1;
  /** The walks that are at it. */
  readonly walks: ReadSections;

  constructor(readonly driver: Driver) {
    this.name = driver.name;
    this.walks = new ReadSections(`a walk at driver ${this.name}`, `klist_remove of ${this.name}`);
  }
}
