import type { Says } from './intern.js';

/** What a lock says of an unlock by who does not hold it. */
export const notHeld: Says = ({ entity, event }) =>
  `${String(event.by)} sends ${event.type} to ${entity}, which it does not hold`;
