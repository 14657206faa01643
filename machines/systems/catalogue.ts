/** The five systems of the mailing-list threads, oldest first. */

import type { System } from '../system.js';
import { GROUPS } from './groups.js';

export const SYSTEMS: readonly System[] = [GROUPS];

/** The system with this id, in any case; undefined for none. */
export function systemById(id: string): System | undefined {
  return SYSTEMS.find((system) => system.id === id.toLowerCase());
}
