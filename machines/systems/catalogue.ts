/** The five systems of the mailing-list threads, oldest first. */

import type { System } from '../system.js';
import { AUX } from './aux.js';
import { GROUPS } from './groups.js';
import { INVALIDATE } from './invalidate.js';
import { IOASIDS } from './ioasid.js';
import { MSI } from './msi.js';

export const SYSTEMS: readonly System[] = [GROUPS, MSI, INVALIDATE, AUX, IOASIDS];

/** The system with this id, in any case; undefined for none. */
export function systemById(id: string): System | undefined {
  return SYSTEMS.find((system) => system.id === id.toLowerCase());
}
