/** Loads a scenario by its name or from a TypeScript or JavaScript file, without a build step. */

import { existsSync, statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import { NEWEST } from '../../machines/profiles/timeline.js';
import { CATALOGUE } from '../../machines/races/catalogue.js';
import { CORPUS, raceById, variantByName, variantScenario } from '../../machines/races/corpus.js';
import type { Scenario } from '../../machines/scenario.js';
import { textOf } from '../explore/scenario-error.js';
import { kernelOf } from './kernels.js';
import { didYouMean } from './similar.js';
import { UsageError } from './usage-error.js';

/**
 * The scenario, of the generation `kernel` where one is named: then its own name says so, which keeps
 * checkpoints apart.
 *
 * Throws UsageError where there is no such scenario, the file is at fault, or a kernel is named and
 * the scenario has none. A file that computes without end is not noticed: nothing gives way meanwhile.
 */
export async function loadScenario(
  named: string,
  library: string,
  kernel?: string,
): Promise<Scenario> {
  if (kernel === undefined) {
    const { make, first = NEWEST } = await makerOf(named, library);
    return make(first);
  }
  const profile = kernelOf(kernel);
  const { make, alike } = await makerOf(named, library);
  if (alike !== undefined) {
    throw new UsageError(`${named} does not depend on the kernel (${alike}): leave out --kernel`);
  }
  const scenario = await make(profile);
  return { ...scenario, name: `${scenario.name} on ${profile.name}` };
}

interface Maker {
  readonly make: (profile: KernelProfile) => Scenario | Promise<Scenario>;
  /** The generation that is explored where none is named; the newest where left out. */
  readonly first?: KernelProfile;
  /** Why it is the same on every kernel; undefined where it is not. */
  readonly alike: string | undefined;
}

async function makerOf(named: string, library: string): Promise<Maker> {
  const known = CATALOGUE.find(({ name }) => name === named);
  if (known !== undefined) {
    const alike = known.perKernel === true ? undefined : 'it is the same for all';
    const first = known.kernel === undefined ? NEWEST : kernelOf(known.kernel);
    return { make: (profile) => known.make(profile), first, alike };
  }
  const variant = variantOf(named);
  return variant ?? fromFile(named, library);
}

/** `K11` or `K11/bug`. Throws UsageError for a variant that the race has not. */
function variantOf(named: string): Maker | undefined {
  const [, id, name] = /^([^/]*)(?:\/(.*))?$/s.exec(named)!;
  const race = raceById(id);
  if (race === undefined) return undefined;
  const variant = variantByName(race, name);
  if (variant !== undefined) {
    const make = () => variantScenario(race, variant);
    return { make, alike: `a race says its kernel itself, ${variant.kernel}` };
  }
  if (isFile(resolve(named))) return undefined;
  const known = race.variants.map((each) => `"${each.name}"`).join(', ');
  throw new UsageError(`race ${race.id} has no variant "${name}"; it has ${known}`);
}

const isFile = (file: string) => existsSync(file) && statSync(file).isFile();

async function fromFile(named: string, library: string): Promise<Maker> {
  const file = resolve(named);
  if (!isFile(file)) {
    const names = [...CATALOGUE.map(({ name }) => name), ...CORPUS.map(({ id }) => id)];
    throw new UsageError(
      `${named}: neither a file nor a scenario that hotrace knows${didYouMean(named, names)}; hotrace explore --list shows those`,
    );
  }
  let module: unknown;
  try {
    const jiti = createJiti(file, {
      alias: { hotrace: library, xstate: fileURLToPath(import.meta.resolve('xstate')) },
      moduleCache: false,
    });
    module = await settled(jiti.import(file), named);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${named}${placeIn(file, error)}: ${firstLine(error, file)}`);
  }
  const exported = (module as { default?: unknown }).default;
  return {
    make: async (profile) => checked(await made(exported, profile, named, file), named),
    alike:
      typeof exported !== 'function'
        ? 'it exports no function'
        : exported.length === 0
          ? 'its function takes no profile'
          : undefined,
  };
}

type Making = (profile?: KernelProfile) => unknown;

/** One without parameters may have some by default that are no profile. */
const call = (make: Making, profile: KernelProfile) => (make.length === 0 ? make() : make(profile));

/** What is exported, or what the function that is exported returns; once it is there. */
async function made(
  exported: unknown,
  profile: KernelProfile,
  named: string,
  file: string,
): Promise<unknown> {
  try {
    const value = typeof exported === 'function' ? call(exported as Making, profile) : exported;
    return await settled(Promise.resolve(value), named);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${named}${placeIn(file, error)}: ${firstLine(error, file)}`);
  }
}

/** What a file may have left out, so that nobody reads of an undefined property. */
function checked(value: unknown, named: string): Scenario {
  const fail = (what: string): never => {
    throw new UsageError(
      `${named}: ${what}; export default scenario({ name, entities, threads }), or a function that returns it`,
    );
  };
  // A file without exports is an empty object.
  if (value === null || typeof value !== 'object' || Object.keys(value).length === 0) {
    return fail('it exports no scenario');
  }
  const { name, entities, threads } = value as Readonly<Record<string, unknown>>;
  if (typeof name !== 'string') return fail('the scenario has no name');
  if (!isRecord(entities)) return fail('it has no entities');
  if (!isRecord(threads) || Object.keys(threads).length === 0) return fail('it has no threads');
  for (const [entity, machine] of Object.entries(entities)) {
    if (!isEntity(machine)) return fail(`entity "${entity}" is no machine`);
  }
  for (const [thread, body] of Object.entries(threads)) {
    if (typeof body !== 'function') return fail(`thread "${thread}" is no generator function`);
  }
  const why = partAtFault(value as Readonly<Record<string, unknown>>);
  return why === undefined ? (value as Scenario) : fail(why);
}

/** Of what a scenario may have beside them: what is not as its type says. */
function partAtFault(scenario: Readonly<Record<string, unknown>>): string | undefined {
  const { invariants = [], monitors = {}, symmetry = [], mayWait = [], log } = scenario;
  if (!Array.isArray(invariants)) return 'its invariants are no list';
  for (const [i, each] of invariants.entries()) {
    if (!isRecord(each) || typeof each.id !== 'string') return `invariant ${i + 1} has no id`;
    const of = `invariant "${each.id}"`;
    if (!areNames(each.entities)) return `${of} does not say in a list of which entities it is`;
    if (typeof each.holds !== 'function') return `${of} has no function holds`;
    if (each.when !== undefined && each.when !== 'always' && each.when !== 'end') {
      return `${of} holds neither always nor at the end`;
    }
  }
  if (!isRecord(monitors)) return 'its monitors are no record by name';
  for (const [name, each] of Object.entries(monitors)) {
    if (!isRecord(each) || !isEntity(each.machine)) return `monitor "${name}" has no machine`;
    if (!areNames(each.listeners)) return `monitor "${name}" has no list of listeners`;
  }
  const families = Array.isArray(symmetry) ? symmetry : [undefined];
  if (!families.every((each) => isRecord(each) && Object.values(each).every(areNames))) {
    return 'its symmetry is no list of records of names';
  }
  if (!areNames(mayWait)) return 'mayWait is no list of names';
  if (log !== undefined && !(isRecord(log) && Array.isArray(log.before))) {
    return 'its log has no list of what was before';
  }
  return undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function areNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

/** By what xstate's machines have: they may come from another copy of it. */
function isEntity(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const machine = 'machine' in value && 'input' in value ? value.machine : value;
  return isRecord(machine) && typeof machine.transition === 'function' && isRecord(machine.root);
}

/** What a promise comes to. Throws UsageError where nothing is left that could settle it. */
async function settled<T>(promise: Promise<T>, named: string): Promise<T> {
  let idle: (() => void) | undefined;
  const never = new Promise<never>((_, reject) => {
    idle = () =>
      reject(new UsageError(`${named}: it waits for what never comes; export a scenario`));
    process.once('beforeExit', idle);
  });
  try {
    return await Promise.race([promise, never]);
  } finally {
    process.removeListener('beforeExit', idle!);
  }
}

/** `:12:5` where the error tells a place in the file. */
export function placeIn(file: string, error: unknown): string {
  if (!(error instanceof Error)) return '';
  const text = `${error.message}\n${error.stack ?? ''}\n${
    error.cause instanceof Error ? (error.cause.stack ?? '') : ''
  }`;
  for (const name of [file, relative(process.cwd(), file)]) {
    const at = text.indexOf(`${name}:`);
    const place = at < 0 ? null : /^:\d+(?::\d+)?/.exec(text.slice(at + name.length));
    if (place !== null) return place[0];
  }
  return '';
}

function firstLine(error: unknown, file: string): string {
  const message = error instanceof Error ? error.message : textOf(error);
  return message
    .replaceAll(file, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^[:\d\s]+$/.test(line))
    .slice(0, 2)
    .join(' ')
    .replace(/^\w*Error: /, '')
    .replace(/\s+:\d+:\d+$/, '');
}

/** The library's entry beside the command that runs. */
export function libraryEntry(): string {
  return fileURLToPath(import.meta.resolve('hotrace'));
}
