/** The types of the public surface; tsc is what fails here. */

import type * as fc from 'fast-check';
import { expect, expectTypeOf, test } from 'vitest';
import type { HotplugEvent } from '../../../events/event.js';
import type { Scenario, ScenarioFor } from '../../../machines/scenario.js';
import * as testing from '../../../src/testing/index.js';
import type { HotraceMatchers } from '../../../src/testing/vitest.js';

test('check takes what can be tested, and nothing else', () => {
  type Subject = Parameters<typeof testing.check>[0];
  expectTypeOf<Subject>().toEqualTypeOf<Scenario | ScenarioFor | testing.HotplugProgram>();
  expectTypeOf(testing.check).returns.toEqualTypeOf<testing.Checked>();
  expectTypeOf<testing.Checked['verdict']>().toEqualTypeOf<'clean' | 'violated' | 'incomplete'>();
  expectTypeOf<number>().not.toExtend<Subject>();
});

test('races are awaited', () => {
  expectTypeOf<testing.Races['toBeClean']>().returns.resolves.toEqualTypeOf<testing.Checked>();
  expectTypeOf<testing.Races['toViolate']>().parameters.toEqualTypeOf<[string]>();
});

test('an operation has the arguments that it takes', () => {
  expectTypeOf<readonly ['device_add', string]>().toExtend<testing.Operation>();
  expectTypeOf<readonly ['device_add']>().not.toExtend<testing.Operation>();
  expectTypeOf<readonly ['device_add', string, string]>().not.toExtend<testing.Operation>();
  expectTypeOf<readonly ['device_driver_attach', string, string]>().toExtend<testing.Operation>();
  expectTypeOf<readonly ['no_such', string]>().not.toExtend<testing.Operation>();
});

test('a rule is a machine or a predicate', () => {
  const head = { id: 'A', sentence: 'b', source: 'c' };
  expectTypeOf(testing.rule).returns.toEqualTypeOf<testing.OwnRule>();
  expectTypeOf({ ...head, holds: () => true }).toExtend<testing.RuleDefinition>();
  expectTypeOf(head).not.toExtend<testing.RuleDefinition>();
});

test('programs are arbitraries of plain data', () => {
  expectTypeOf(testing.programs).returns.toEqualTypeOf<fc.Arbitrary<testing.HotplugProgram>>();
  expectTypeOf(testing.topologies).returns.toEqualTypeOf<fc.Arbitrary<testing.Topology>>();
});

test('matchers are there for what they can be asked of', () => {
  type Of<T> = HotraceMatchers<T>;
  expectTypeOf<Of<Scenario>['toBeRaceFree']>().toBeFunction();
  expectTypeOf<Of<Scenario>['toViolate']>().parameter(0).toEqualTypeOf<string>();
  expectTypeOf<Of<number>['toBeRaceFree']>().toBeNever();
  expectTypeOf<Of<HotplugEvent[]>['toRespect']>().returns.toEqualTypeOf<Promise<void>>();
  expectTypeOf<Of<Scenario>['toRespect']>().toBeNever();
  // Merged into vitest's own.
  expectTypeOf(expect<Scenario>).returns.toHaveProperty('toBeRaceFree');
});

/** No `any` may hide in what is exported. */
type IsAny<T> = 0 extends 1 & T ? true : false;
type AnyIn<F> = F extends (...args: infer A) => infer R
  ? IsAny<R> extends true
    ? true
    : true extends { [I in keyof A]: IsAny<A[I]> }[number]
      ? true
      : false
  : IsAny<F>;
type Exports = typeof testing;

test('nothing that is exported is any', () => {
  type Found = { [K in keyof Exports]: AnyIn<Exports[K]> extends false ? never : K }[keyof Exports];
  expectTypeOf<Found>().toBeNever();
});
