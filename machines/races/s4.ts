/** S4: the aperture that a reader gets half of. Source: A2.3, the thread of 2016. */

import type { IovaRange } from '../iova-domain.js';
import { apertureRead, twoSetters } from './msi-geometry.js';
import { race } from './race.js';
import type { Race } from './race.js';

/** Its two words differ in their upper halves. */
const ACROSS: IovaRange = { start: '0xfff00000', end: '0x1000fffff' };

export const S4: Race = race({
  id: 'S4',
  title: 'Torn MSI aperture: valid and wrong',
  story:
    '"We can always define that start >= end is invalid and set them in the right order that iommu_domain_get_attr() may get different versions of invalid, but it will always be invalid or valid." ' +
    'The search says what that takes. Where (0, 0) stands for an aperture that is not set, storing start first is not enough: a reader that loads start first gets the old start and the new end. ' +
    'It has to load end first, or the aperture that is not set has to be (MAX, 0), where no order matters. ' +
    'Neither helps where a 32-bit CPU stores each word in halves and the aperture crosses 4 GiB; a seqcount does. ' +
    'Two callers that set it at the same time both find it not set, and leave the start of one with the end of the other.',
  commits: [],
  source: 'A2.3, P-A2-1, P-A2-5, INV-10, INV-28',
  variants: [
    {
      name: 'bug: start first, and loaded first',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: 'posted after v8 (2016)',
      make: () => apertureRead({ unset: '(0, 0)', stores: 'start, end', loads: 'start, end' }),
    },
    {
      name: 'bug: a struct copy',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: 'posted after v8 (2016)',
      make: () => apertureRead({ unset: '(0, 0)', stores: 'start, end', loads: 'either' }),
    },
    {
      name: 'bug: end first',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: 'the other order',
      make: () => apertureRead({ unset: '(0, 0)', stores: 'end, start', loads: 'end, start' }),
    },
    {
      name: 'bug: words in halves',
      expected: 'violated',
      breaks: ['INV-28'],
      kernel: '(MAX, 0) on 32 bits, across 4 GiB',
      make: () =>
        apertureRead({
          unset: '(MAX, 0)',
          stores: 'start, end',
          loads: 'end, start',
          words: 'in halves',
          sets: ACROSS,
        }),
    },
    {
      name: 'bug: two callers',
      expected: 'violated',
      breaks: ['INV-10', 'INV-28'],
      kernel: 'posted after v8 (2016)',
      make: () => twoSetters({ stores: 'start, end', serialised: false }),
    },
    {
      name: 'fixed: end is loaded first',
      expected: 'clean',
      kernel: 'proposed, with barriers',
      make: () => apertureRead({ unset: '(0, 0)', stores: 'start, end', loads: 'end, start' }),
    },
    {
      name: 'fixed: (MAX, 0) is not set',
      expected: 'clean',
      kernel: 'proposed',
      make: () => apertureRead({ unset: '(MAX, 0)', stores: 'start, end', loads: 'either' }),
    },
    {
      name: 'fixed: seqcount',
      expected: 'clean',
      kernel: 'proposed',
      make: () =>
        apertureRead({
          unset: '(0, 0)',
          stores: 'start, end',
          loads: 'start, end',
          words: 'in halves',
          kept: 'by a seqcount',
          sets: ACROSS,
        }),
    },
    {
      name: 'fixed: callers serialise',
      expected: 'clean',
      kernel: 'contract C3',
      make: () => twoSetters({ stores: 'start, end', serialised: true }),
    },
  ],
});
