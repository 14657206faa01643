/** A user's own table of probe names, as JSON. */

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { FIELD_COLUMNS } from './batch.js';
import type { ColumnField } from './batch.js';
import { InputError } from './input-error.js';
import { PROBE_TYPES } from './event.js';
import type { ProbeType } from './event.js';
import { BUILT_IN_PROBES } from './probes.js';
import type { ProbeTable } from './probes.js';

const COLUMN_FIELD = z.enum(Object.keys(FIELD_COLUMNS) as [ColumnField, ...ColumnField[]]);

const PROBES_FILE = z.strictObject({
  probes: z.record(
    z.string().min(1),
    z
      .strictObject({
        /** A built-in event whose meaning this one shares. */
        like: z.string().optional(),
        type: z.enum(PROBE_TYPES).optional(),
        fn: z.string().optional(),
        fields: z.record(z.string(), COLUMN_FIELD).optional(),
      })
      .refine((p) => p.like !== undefined || p.type !== undefined, {
        message: 'needs "like" (a built-in event) or "type"',
      }),
  ),
});

/**
 * The built-in table with the entries of a user's JSON file added:
 * `{"probes": {"my_bind": {"like": "really_probe", "fields": {"d": "dev"}}}}`.
 * Throws InputError when the file cannot be read or does not have this shape.
 */
export function readProbeTable(file: string): ProbeTable {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(
      file,
      undefined,
      code === 'ENOENT' ? 'there is no such file' : `cannot be read as JSON: ${message}`,
    );
  }
  const parsed = PROBES_FILE.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new InputError(
      file,
      undefined,
      `${issue.path.join('.') || 'top level'}: ${issue.message}`,
    );
  }
  const table = new Map(BUILT_IN_PROBES);
  for (const [name, entry] of Object.entries(parsed.data.probes)) {
    const like = entry.like === undefined ? undefined : table.get(entry.like);
    if (entry.like !== undefined && like === undefined) {
      throw new InputError(file, undefined, `probes.${name}.like: no event "${entry.like}"`);
    }
    const fn = entry.fn ?? like?.fn;
    const type = entry.type ?? like?.type;
    if (type === undefined) continue;
    if (NEEDS_FUNCTION.has(type) && fn === undefined) {
      throw new InputError(file, undefined, `probes.${name}: type ${type} needs "fn"`);
    }
    table.set(name, {
      type,
      ...(fn === undefined ? {} : { fn }),
      fields: { ...like?.fields, ...entry.fields },
    });
  }
  return table;
}

const NEEDS_FUNCTION = new Set<ProbeType>([
  'function_call',
  'function_return',
  'callback_call',
  'callback_return',
]);
