/** A hotplug slot as pciehp reports it. Source: formats.md 2.7 "Message catalogue", pci_hp_event. */

import { createMachine } from 'xstate';
import type { AnyStateMachine } from 'xstate';

export const HOTPLUG_SLOT_EVENTS = [
  'CARD_PRESENT',
  'CARD_NOT_PRESENT',
  'LINK_UP',
  'LINK_DOWN',
  'lost',
] as const;

const ANY = {
  CARD_PRESENT: '.present',
  CARD_NOT_PRESENT: '.empty',
  LINK_UP: '.linkUp',
  LINK_DOWN: '.linkDown',
  lost: '.unknown',
};

export const hotplugSlotMachine: AnyStateMachine = createMachine({
  id: 'hotplug-slot',
  initial: 'unknown',
  on: ANY,
  states: { unknown: {}, empty: {}, present: {}, linkUp: {}, linkDown: {} },
});
