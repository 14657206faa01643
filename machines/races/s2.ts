/** S2: what the reviewers of 2012 feared of the other order. Source: ALT-A1-a, ALT-A1-b. */

import { addRemove } from './add-remove.js';
import { race } from './race.js';

export const S2 = race({
  id: 'S2',
  title: 'Removal lost when ADD_DEVICE is sent before list_add',
  story:
    'The other order was proposed: to tell the listeners first, and to put the device on ' +
    'group->devices then. "Then we just risk dropping the remove": a removal in between does not ' +
    'find the device on the list and returns, and the device that was removed is added after all.',
  commits: [],
  source: 'ALT-A1-a, ALT-A1-b, INV-03',
  variants: [
    {
      name: 'bug',
      expected: 'violated',
      breaks: ['INV-03'],
      kernel: 'proposed (ALT-A1-a)',
      make: () => addRemove({ variant: 'notify first' }),
    },
    {
      name: 'fixed: second mutex',
      expected: 'clean',
      kernel: 'proposed (ALT-A1-b2)',
      make: () => addRemove({ variant: 'under a second mutex', walks: true }),
    },
  ],
});
