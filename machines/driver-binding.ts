/**
 * really_probe and __device_release_driver as their probes show them; INV-22's `bound`, and the
 * state behind "driver" in a device's line. Source: B.2.
 */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export const DRIVER_BINDING_EVENTS = [
  'probe',
  'bind',
  'bound',
  'failed',
  'unbind',
  'unbound',
  'removed',
  'lost',
] as const;

export const driverBindingMachine: AnyStateMachine = createMachine({
  id: 'driver-binding',
  initial: 'unknown',
  on: {
    probe: '.probing',
    bind: '.binding',
    bound: '.bound',
    failed: '.unbound',
    unbind: '.releasing',
    unbound: '.unbound',
    removed: '.unbound',
    lost: '.unknown',
  },
  states: { unknown: {}, unbound: {}, probing: {}, binding: {}, bound: {}, releasing: {} },
});
