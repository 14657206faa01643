/** The scenarios that come with hotrace, by name. */

import type { Scenario } from '../scenario.js';
import { addRemove } from './add-remove.js';
import { storm } from './storm.js';

export interface CatalogueEntry {
  readonly name: string;
  /** One line. */
  readonly about: string;
  make(): Scenario;
}

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: 'add-remove',
    about: 'iommu_group_add_device beside iommu_group_remove_device, as posted (P-A1-1)',
    make: () => addRemove(),
  },
  {
    name: 'add-remove-notify-first',
    about: 'the same, notified before list_add (ALT-A1-a)',
    make: () => addRemove({ variant: 'notify first' }),
  },
  {
    name: 'add-remove-group-mutex',
    about: 'both under group->mutex, with a listener that takes it (ALT-A1-b, b1)',
    make: () => addRemove({ variant: 'under group->mutex', walks: true }),
  },
  {
    name: 'add-remove-second-mutex',
    about: 'both under a second mutex, with the same listener (ALT-A1-b, b2)',
    make: () => addRemove({ variant: 'under a second mutex', walks: true }),
  },
  {
    name: 'add-remove-serialised',
    about: 'as posted, and callers serialise adding and removing (P-A1-2)',
    make: () => addRemove({ serialised: true }),
  },
  {
    name: 'storm',
    about: 'four devices, each added and removed at the same time, two listeners: a yardstick',
    make: () => storm(4, 'remembers'),
  },
];
