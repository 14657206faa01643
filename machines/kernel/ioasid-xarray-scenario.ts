/** A scenario of IOASIDs in one xarray. Source: A5.4. */

import { kernelLogMachine } from '../kernel-log.js';
import { mutexMachine } from '../mutex.js';
import { struct } from '../object.js';
import { rcuMachine } from '../rcu.js';
import type { Entity, Scenario } from '../scenario.js';
import { xarrayMachine } from '../xarray.js';
import { IOASID, IOASID_LOG, IOASID_RCU } from './ioasid.js';
import { RCU_HEADS } from './kfree-rcu.js';
import { IOASID_XA, XA_LOCK } from './ioasid-xarray.js';

/** @param ids how many may be allocated, in all */
export function ioasidXarrayEntities(ids: number): Readonly<Record<string, Entity>> {
  const spare = Array.from({ length: ids }, (_, i) => `data${i}`);
  return {
    [IOASID_XA]: xarrayMachine,
    [XA_LOCK]: mutexMachine,
    [IOASID_RCU]: rcuMachine,
    [RCU_HEADS]: struct({ fields: { heads: [] } }),
    [IOASID_LOG]: kernelLogMachine(['INV-39']),
    [IOASID]: struct({ fields: { 'spare data': spare } }),
    ...Object.fromEntries(spare.map((data) => [data, struct()])),
  };
}

/** The scenario, for the explorer. */
export function ioasidXarrayScenario(
  told: Pick<Scenario, 'name' | 'story' | 'threads' | 'invariants'> & {
    readonly entities?: Readonly<Record<string, Entity>>;
    readonly ids?: number;
  },
): Scenario {
  const { entities, ids = 2, ...scenario } = told;
  return { ...scenario, entities: { ...ioasidXarrayEntities(ids), ...entities } };
}
