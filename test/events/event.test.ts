import { expect, test } from 'vitest';
import * as catalogue from '../../events/event.js';

test('the code of a type is its place in the catalogue, in both tables', () => {
  const { TypeCode } = catalogue as unknown as { TypeCode: Readonly<Record<string, number>> };
  const places = Object.fromEntries(catalogue.EVENT_TYPES.map((type, place) => [type, place]));
  expect(TypeCode).toMatchObject(places);
  expect(Object.keys(TypeCode).filter((key) => /\D/.test(key))).toEqual(Object.keys(places));
  expect(catalogue.CODE_OF).toEqual(places);
});
