/** What went wrong in a search, for whoever wrote the scenario. */

import { resolve } from 'node:path';
import { CheckpointError } from '../explore/checkpoint.js';
import { messageOf, ScenarioError } from '../explore/scenario-error.js';
import { sentence } from '../report/format.js';
import { lineOf } from './generator-location.js';
import { placeIn } from './scenario-file.js';
import { UsageError } from './usage-error.js';

/** The error to be thrown for one that a search threw: with the place in the file, where it is known. */
export function explainedError(error: unknown, named: string): unknown {
  if (error instanceof CheckpointError) return new UsageError(error.message);
  if (!(error instanceof ScenarioError)) return error;
  const line = error.generator === undefined ? undefined : lineOf(error.generator, resolve(named));
  const place = line === undefined ? placeIn(named, error) : `:${line}`;
  // Names may be anything.
  return new UsageError(`${named}${place}: ${sentence(messageOf(error))}`);
}
