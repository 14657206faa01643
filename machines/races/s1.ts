/** S1: the race of the 2012 review, and what its reviewers proposed. Source: P-A1-1, P-A1-2, ALT-A1-b. */

import { addRemove } from './add-remove.js';
import { race } from './race.js';

export const S1 = race({
  id: 'S1',
  title: 'DEL_DEVICE of a group heard before ADD_DEVICE',
  story:
    'iommu_group_add_device puts the device on group->devices under group->mutex and tells the ' +
    "group's listeners after it has dropped it. iommu_group_remove_device, called for the same " +
    'device meanwhile, tells them first. "The client might end up getting the remove notification ' +
    'before it gets the add": a listener keeps a device that is gone. Callers that serialise adding ' +
    'and removing are safe. So is a second mutex over each pair of change and notification; ' +
    'group->mutex itself is not, as soon as a listener walks the group.',
  commits: [
    {
      id: 'd72e31c93746',
      subject: 'iommu: IOMMU Groups',
      since: 'v3.6',
    },
  ],
  source: 'P-A1-1, P-A1-2, ALT-A1-b, INV-01, INV-03, INV-16',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-01'],
      kernel: 'v3.6',
      make: () => addRemove(),
    },
    {
      name: 'fixed: callers serialise',
      expected: 'clean',
      kernel: 'proposed (P-A1-2)',
      make: () => addRemove({ serialised: true }),
    },
    {
      name: 'fixed: second mutex',
      expected: 'clean',
      kernel: 'proposed (ALT-A1-b2)',
      make: () => addRemove({ variant: 'under a second mutex', walks: true }),
    },
    {
      name: 'bug: group mutex',
      expected: 'violated',
      breaks: ['deadlock'],
      kernel: 'proposed (ALT-A1-b1)',
      make: () => addRemove({ variant: 'under group->mutex', walks: true }),
    },
  ],
});
