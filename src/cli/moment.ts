import type { History } from '../replay/history.js';
import type { ReplayState } from '../replay/state.js';
import { UsageError } from './usage-error.js';

const EVENT = /^#(\d{1,15})$/;
const TIME = /^(\d{1,12}(?:\.\d{1,9})?)(s|ms|us|ns)?$/;

/** Throws UsageError when `text` is no moment; to be asked before anything is read. */
export function checkMoment(text: string): void {
  if (EVENT.test(text) || TIME.test(text)) return;
  throw new UsageError(
    `"${text}" is no moment: give seconds (140.95), 200ms, 150us, or #412 for an event`,
  );
}

/**
 * The state at a moment as a user names it: `140.95` or `140.95s` (seconds of the log's clock),
 * `200ms`, `150us`, `12ns`, or `#412` (after event number 412). Throws UsageError for anything else.
 */
export function stateAtMoment(history: History, text: string): ReplayState {
  const event = EVENT.exec(text);
  if (event !== null) {
    const seq = Number(event[1]);
    if (seq >= history.length) {
      throw new UsageError(`there is no event ${text}: the last one is #${history.length - 1}`);
    }
    return history.stateAfter(seq);
  }
  const time = TIME.exec(text);
  if (time === null) throw new UsageError(`"${text}" is no moment`);
  const scale = { s: 1e9, ms: 1e6, us: 1e3, ns: 1 }[time[2] ?? 's'] ?? 1e9;
  return history.stateAt(Math.round(Number(time[1]) * scale));
}
