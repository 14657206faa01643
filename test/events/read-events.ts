/** What a reader makes of a text. */

import { EventBatch } from '../../events/batch.js';
import type { HotplugEvent } from '../../events/event.js';
import { BUILT_IN_PROBES } from '../../events/probes.js';
import type { Format } from '../../events/reader.js';

export interface HowToRead {
  /** Rows of the batch: one that is small fills up on the way. */
  readonly capacity?: number;
  readonly keepText?: boolean;
  /** The input is handed over a line at a time. */
  readonly lineByLine?: boolean;
}

/** Every event that `format` reads from `input`; text is given the line feed it ends with. */
export function readEvents(
  format: Format,
  input: string | Uint8Array,
  { capacity = 64, keepText = true, lineByLine = false }: HowToRead = {},
): HotplugEvent[] {
  const bytes =
    typeof input === 'string' ? Buffer.from(input.endsWith('\n') ? input : `${input}\n`) : input;
  const batch = new EventBatch([{ format: format.name, file: 'x' }], capacity);
  const reader = format.open({ probes: BUILT_IN_PROBES, source: 0, keepText });
  const events: HotplugEvent[] = [];
  const drain = (): void => {
    for (let i = 0; i < batch.length; i++) events.push(batch.event(i));
    batch.clear();
  };
  for (let at = 0; at < bytes.length; drain()) {
    const end = lineByLine ? bytes.indexOf(10, at) + 1 : bytes.length;
    at = reader.read(bytes, at, end, batch);
  }
  reader.finish(batch);
  drain();
  return events;
}
