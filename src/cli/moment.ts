import type { History } from '../replay/history.js';
import type { ReplayState } from '../replay/state.js';
import { UsageError } from './usage-error.js';

/**
 * The state at a moment as a user names it: `140.95` or `140.95s` (seconds of the log's clock),
 * `200ms`, `150us`, `12ns`, or `#412` (after event number 412). Throws UsageError for anything else.
 */
export function stateAtMoment(history: History, text: string): ReplayState {
  const event = /^#(\d{1,15})$/.exec(text);
  if (event !== null) return history.stateAfter(Number(event[1]));
  const time = /^(\d{1,12}(?:\.\d{1,9})?)(s|ms|us|ns)?$/.exec(text);
  if (time === null) {
    throw new UsageError(
      `"${text}" is no moment: give seconds (140.95), 200ms, 150us, or #412 for an event`,
    );
  }
  const scale = { s: 1e9, ms: 1e6, us: 1e3, ns: 1 }[time[2] ?? 's'] ?? 1e9;
  return history.stateAt(Math.round(Number(time[1]) * scale));
}
