/**
 * The races that kernels really had, those of the reviews, and the defects that the posted code has,
 * with their fixes. Source: D, A.
 */

import type { Scenario } from '../scenario.js';
import type { Race, RaceVariant } from './race.js';
import { D_A2_1 } from './d-a2-1.js';
import { D_A2_2 } from './d-a2-2.js';
import { D_A2_3 } from './d-a2-3.js';
import { D_A3_1 } from './d-a3-1.js';
import { D_A3_2 } from './d-a3-2.js';
import { K01 } from './k01.js';
import { K02 } from './k02.js';
import { K03 } from './k03.js';
import { K04 } from './k04.js';
import { K05 } from './k05.js';
import { K06 } from './k06.js';
import { K07 } from './k07.js';
import { K08 } from './k08.js';
import { K09 } from './k09.js';
import { K10 } from './k10.js';
import { K11 } from './k11.js';
import { K12 } from './k12.js';
import { K14 } from './k14.js';
import { K15 } from './k15.js';
import { K17 } from './k17.js';
import { K19 } from './k19.js';
import { K20 } from './k20.js';
import { K21 } from './k21.js';
import { K22 } from './k22.js';
import { K23 } from './k23.js';
import { K25 } from './k25.js';
import { K26 } from './k26.js';
import { K27 } from './k27.js';
import { K28 } from './k28.js';
import { K30 } from './k30.js';
import { K32 } from './k32.js';
import { K33 } from './k33.js';
import { K34 } from './k34.js';
import { K35 } from './k35.js';
import { K37 } from './k37.js';
import { K39 } from './k39.js';
import { K40 } from './k40.js';
import { K43 } from './k43.js';
import { P_A3_4 } from './p-a3-4.js';
import { P_A3_6 } from './p-a3-6.js';
import { S1 } from './s1.js';
import { S2 } from './s2.js';
import { S3 } from './s3.js';
import { S8 } from './s8.js';
import { S4 } from './s4.js';
import { S5 } from './s5.js';

/** In the order of their ids. */
export const CORPUS: readonly Race[] = [
  D_A2_1,
  D_A2_2,
  D_A2_3,
  D_A3_1,
  D_A3_2,
  K01,
  K02,
  K03,
  K04,
  K05,
  K06,
  K07,
  K08,
  K09,
  K10,
  K11,
  K12,
  K14,
  K15,
  K17,
  K19,
  K20,
  K21,
  K22,
  K23,
  K25,
  K26,
  K27,
  K28,
  K30,
  K32,
  K33,
  K34,
  K35,
  K37,
  K39,
  K40,
  K43,
  P_A3_4,
  P_A3_6,
  S1,
  S2,
  S3,
  S8,
  S4,
  S5,
];

/** The race with this id, in any case; undefined for none. */
export function raceById(id: string): Race | undefined {
  const wanted = id.toUpperCase();
  return CORPUS.find((race) => race.id === wanted);
}

/**
 * The variant of a race with this name; the first where it has none. In any case, and a hyphen is as
 * good as a blank, which a shell takes apart: `Fixed:-second-mutex`.
 */
export function variantByName(race: Race, name: string | undefined): RaceVariant | undefined {
  if (name === undefined) return race.variants[0];
  const wanted = bare(name);
  return race.variants.find((variant) => bare(variant.name) === wanted);
}

/** What tells the names of variants apart. */
export function bare(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/g, '-');
}

/** `K11/bug` */
export function variantName(race: Race, variant: RaceVariant): string {
  return `${race.id}/${variant.name}`;
}

/** The scenario of a variant, by the name under which the command knows it. */
export function variantScenario(race: Race, variant: RaceVariant): Scenario {
  return { ...variant.make(), name: variantName(race, variant) };
}
