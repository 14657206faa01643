/** Loads a scenario by its name or from a TypeScript or JavaScript file, without a build step. */

import { existsSync, statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';
import { CATALOGUE } from '../../machines/races/catalogue.js';
import type { Scenario } from '../../machines/scenario.js';
import { UsageError } from './usage-error.js';

/** Throws UsageError where there is no such scenario, or the file is at fault. */
export async function loadScenario(named: string, library: string): Promise<Scenario> {
  const known = CATALOGUE.find(({ name }) => name === named);
  if (known !== undefined) return known.make();
  const file = resolve(named);
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw new UsageError(
      `${named}: neither a file nor a scenario that hotrace knows; hotrace explore --list shows those`,
    );
  }
  let module: unknown;
  try {
    const jiti = createJiti(file, {
      alias: { hotrace: library, xstate: fileURLToPath(import.meta.resolve('xstate')) },
      moduleCache: false,
    });
    module = await jiti.import(file);
  } catch (error) {
    throw new UsageError(`${named}${placeIn(file, error)}: ${firstLine(error, file)}`);
  }
  const exported = (module as { default?: unknown }).default;
  const scenario = typeof exported === 'function' ? called(exported, named, file) : exported;
  return checked(scenario, named);
}

function called(make: unknown, named: string, file: string): unknown {
  try {
    return (make as () => unknown)();
  } catch (error) {
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
  if (value === null || typeof value !== 'object') return fail('it exports no scenario');
  const { name, entities, threads } = value as Partial<Scenario>;
  if (typeof name !== 'string') return fail('the scenario has no name');
  if (entities === undefined || typeof entities !== 'object') return fail('it has no entities');
  if (threads === undefined || typeof threads !== 'object') return fail('it has no threads');
  for (const [entity, machine] of Object.entries(entities)) {
    const is = (machine as unknown) !== null && typeof machine === 'object';
    if (!is) return fail(`entity "${entity}" is no machine`);
  }
  for (const [thread, body] of Object.entries(threads)) {
    if (typeof body !== 'function') return fail(`thread "${thread}" is no generator function`);
  }
  return value as Scenario;
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
  const message = error instanceof Error ? error.message : String(error);
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
