/**
 * The catalogue as a schema, for events that come from outside: a log that was written by hand or
 * by another model. What passes here fits the columns of a batch without loss.
 */

import { z } from 'zod';
import { NO_NUMBER } from './batch.js';
import type { HotplugEvent } from './event.js';

/** The longest string that an event may hold, in UTF-16 units. */
export const LONGEST_STRING = 1024 * 1024;

const INT32_MAX = 2147483647;

const text = z.string().max(LONGEST_STRING);
/** zod's number refuses NaN and the infinities. */
const finite = z.number();
/** The columns `group` and `devGroup` hold 32 bits and keep one value for "absent". */
const groupId = z.int().gt(NO_NUMBER).max(INT32_MAX);

/**
 * `JSON.stringify` writes NaN as null. Both mean, as an absent key does, that the source had no
 * clock.
 */
const time = z
  .union(
    [finite, z.nan(), z.null().transform(() => NaN)],
    'must be a number of nanoseconds, or absent',
  )
  .default(NaN);

const origin = z.strictObject({
  format: text,
  file: text,
  line: z.int().min(0).max(INT32_MAX),
});

/**
 * zod's record drops the key `__proto__`, which a uevent from a hostile machine may well have. The
 * copy has no prototype, so that no key can be mistaken for one of Object's.
 */
const properties = z
  .custom<Readonly<Record<string, string>>>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.entries(value).every(
        ([key, v]) =>
          typeof v === 'string' && v.length <= LONGEST_STRING && key.length <= LONGEST_STRING,
      ),
    'must be an object whose values are strings',
  )
  .transform((value): Readonly<Record<string, string>> => {
    const copy = Object.create(null) as Record<string, string>;
    for (const [key, v] of Object.entries(value)) copy[key] = v;
    return copy;
  });

const BASE = {
  seq: z.int().min(0).default(0),
  time,
  cpu: z.int().min(0).max(32767).exactOptional(),
  task: z.strictObject({ comm: text, pid: z.int().min(0).max(INT32_MAX) }).exactOptional(),
  origin: origin.default({ format: '?', file: '?', line: 0 }),
  inferred: text.exactOptional(),
};

const DEVICE = {
  dev: text.nullable().exactOptional(),
  bus: text.nullable().exactOptional(),
  drv: text.nullable().exactOptional(),
  object: text.exactOptional(),
  devGroup: groupId.exactOptional(),
  groupPtr: text.exactOptional(),
};

const FACT = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('group-add'), dev: text, group: groupId }),
  z.strictObject({ kind: z.literal('group-remove'), dev: text, group: groupId }),
  z.strictObject({
    kind: z.literal('group-add-failed'),
    dev: text,
    group: groupId,
    error: finite,
  }),
  z.strictObject({ kind: z.literal('slot'), slot: text, event: text, dev: text.exactOptional() }),
  z.strictObject({
    kind: z.literal('iommu-fault'),
    dev: text,
    iova: finite,
    access: z.enum(['read', 'write', 'unknown']),
  }),
  z.strictObject({ kind: z.literal('kernel-version'), release: text }),
  z.strictObject({
    kind: z.literal('complaint'),
    what: z.enum(['WARN', 'BUG', 'Oops', 'hung-task', 'lockdep']),
  }),
]);

/**
 * Every type of the catalogue. `seq` and `origin` may be absent (a log numbers and places its
 * events anew as it is read), `time` may be absent, null or NaN, and becomes NaN. A key that the
 * type does not have is refused. `schemaProblem` puts a refusal into words.
 */
export const EVENT_SCHEMA = z.discriminatedUnion('type', [
  z.strictObject({ ...BASE, ...DEVICE, type: z.literal('bus_notify'), action: finite }),
  z.strictObject({
    ...BASE,
    ...DEVICE,
    type: z.literal('chain_call'),
    chain: text.exactOptional(),
    action: finite,
  }),
  z.strictObject({ ...BASE, type: z.literal('chain_return'), ret: finite }),
  z.strictObject({
    ...BASE,
    ...DEVICE,
    type: z.literal('callback_call'),
    fn: text,
    priority: finite.exactOptional(),
    action: finite.exactOptional(),
  }),
  z.strictObject({ ...BASE, type: z.literal('callback_return'), fn: text, ret: finite }),
  z.strictObject({ ...BASE, type: z.literal('notifier_run'), fn: text }),
  z.strictObject({
    ...BASE,
    type: z.literal(['chain_register', 'chain_unregister']),
    chain: text.exactOptional(),
    fn: text.exactOptional(),
    priority: finite.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    ...DEVICE,
    type: z.literal('function_call'),
    fn: text,
    group: groupId.exactOptional(),
    domain: text.exactOptional(),
    domainType: finite.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('function_return'),
    fn: text,
    ret: finite.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal(['add_device_to_group', 'remove_device_from_group']),
    group: groupId,
    dev: text,
  }),
  z.strictObject({
    ...BASE,
    type: z.literal(['attach_device_to_domain', 'detach_device_from_domain']),
    dev: text,
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('map'),
    iova: finite,
    size: finite,
    paddr: finite.exactOptional(),
    dev: text.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('unmap'),
    iova: finite,
    size: finite,
    unmapped: finite.exactOptional(),
    dev: text.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('io_page_fault'),
    dev: text,
    drv: text.nullable().exactOptional(),
    iova: finite,
    flags: finite.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('pci_hp_event'),
    dev: text,
    slot: text,
    event: text,
  }),
  z.strictObject({ ...BASE, type: z.literal('mark'), text: text.exactOptional() }),
  z.strictObject({
    ...BASE,
    type: z.literal('trace_event'),
    name: text,
    text: text.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('uevent'),
    action: text,
    devpath: text,
    subsystem: text,
    dev: text,
    drv: text.exactOptional(),
    seqnum: finite.exactOptional(),
    from: z.enum(['kernel', 'udev']),
    properties: properties.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('printk'),
    text,
    level: finite.exactOptional(),
    drv: text.exactOptional(),
    dev: text.exactOptional(),
    caller: text.exactOptional(),
    fact: FACT.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('sysfs_group'),
    group: groupId,
    domainType: text.exactOptional(),
    name: text.exactOptional(),
    devices: z.array(text).readonly(),
    reserved: z
      .array(z.strictObject({ start: text, end: text, kind: text }))
      .readonly()
      .exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('sysfs_device'),
    dev: text,
    bus: text,
    drv: text.nullable().exactOptional(),
    group: groupId.nullable().exactOptional(),
    path: text.exactOptional(),
  }),
  z.strictObject({ ...BASE, type: z.literal('sysfs_snapshot'), uname: text.exactOptional() }),
  z.strictObject({
    ...BASE,
    type: z.literal('model_step'),
    thread: text,
    number: z.int().min(0),
    what: text,
    entity: text.exactOptional(),
    event: text.exactOptional(),
    reply: text.exactOptional(),
  }),
  z.strictObject({
    ...BASE,
    type: z.literal('lost'),
    count: finite.exactOptional(),
    since: finite.exactOptional(),
    text: text.exactOptional(),
  }),
  z.strictObject({ ...BASE, type: z.literal('unparsed'), text, reason: text }),
]);

/** Flat, and without `readonly`, which zod's output does not carry. */
type Plain<T> = T extends object ? { -readonly [K in keyof T]: Plain<T[K]> } : T;
/** Identity, which, unlike being assignable both ways, tells an optional key from a missing one. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Fails to compile when schema and catalogue disagree on any field of any type. */
export type SchemaIsCatalogue = Same<Plain<z.output<typeof EVENT_SCHEMA>>, Plain<HotplugEvent>>;
true satisfies SchemaIsCatalogue;

const LONGEST_PROBLEM = 200;

/**
 * The first problem that a schema found in `input`, as `path: what is wrong`, at most 200
 * characters long whatever the input was.
 */
export function schemaProblem(error: z.ZodError, input: unknown): string {
  const issue = error.issues[0];
  const path = issue.path.map(String).join('.');
  const problem = `${path === '' ? '' : `${path}: `}${message(issue, valueAt(input, issue.path))}`;
  return problem.length <= LONGEST_PROBLEM ? problem : `${problem.slice(0, LONGEST_PROBLEM - 1)}…`;
}

function message(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === undefined) return 'missing';
  switch (issue.code) {
    case 'unrecognized_keys':
      return `unknown key ${JSON.stringify(issue.keys[0])}`;
    case 'invalid_type':
      return `expected ${issue.expected}, not ${kindOf(value)}`;
    case 'invalid_union':
      if (issue.discriminator === undefined) return issue.message;
      return typeof value === 'string'
        ? `unknown value ${JSON.stringify(value.slice(0, 40))}`
        : `unexpected ${kindOf(value)}`;
    default:
      return issue.message;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return typeof value;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
