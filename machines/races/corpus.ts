/**
 * The races that kernels really had, those of the reviews, and the defects that the posted code has,
 * with their fixes. Source: D, A.
 */

import type { Scenario } from '../scenario.js';
import type { Race, RaceVariant } from './race.js';
import { AUX_K27 } from './aux-k27.js';
import { D_A2_1 } from './d-a2-1.js';
import { D_A2_2 } from './d-a2-2.js';
import { D_A2_3 } from './d-a2-3.js';
import { D_A3_1 } from './d-a3-1.js';
import { D_A3_2 } from './d-a3-2.js';
import { D_A4_1 } from './d-a4-1.js';
import { D_A4_2 } from './d-a4-2.js';
import { D_A4_3 } from './d-a4-3.js';
import { D_A5_1 } from './d-a5-1.js';
import { D_A5_10 } from './d-a5-10.js';
import { D_A5_2 } from './d-a5-2.js';
import { D_A5_3 } from './d-a5-3.js';
import { D_A5_3B } from './d-a5-3b.js';
import { D_A5_4 } from './d-a5-4.js';
import { D_A5_5 } from './d-a5-5.js';
import { D_A5_6 } from './d-a5-6.js';
import { D_A5_7 } from './d-a5-7.js';
import { D_A5_8 } from './d-a5-8.js';
import { D_A5_9 } from './d-a5-9.js';
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
import { P_A5_5 } from './p-a5-5.js';
import { P_A5_8 } from './p-a5-8.js';
import { P_A5_9 } from './p-a5-9.js';
import { PASID_ATTACH } from './pasid-attach.js';
import { S1 } from './s1.js';
import { S2 } from './s2.js';
import { S3 } from './s3.js';
import { S4 } from './s4.js';
import { S5 } from './s5.js';
import { S6 } from './s6.js';
import { S7 } from './s7.js';
import { S8 } from './s8.js';
import { S9 } from './s9.js';

/** Races of kernels, of threads, defects, properties and sections of the specification: each by number. */
export const CORPUS: readonly Race[] = [
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
  S1,
  S2,
  S3,
  S4,
  S5,
  S6,
  S7,
  S8,
  S9,
  D_A2_1,
  D_A2_2,
  D_A2_3,
  D_A3_1,
  D_A3_2,
  D_A4_1,
  D_A4_2,
  D_A4_3,
  D_A5_1,
  D_A5_2,
  D_A5_3,
  D_A5_3B,
  D_A5_4,
  D_A5_5,
  D_A5_6,
  D_A5_7,
  D_A5_8,
  D_A5_9,
  D_A5_10,
  P_A3_4,
  P_A3_6,
  P_A5_5,
  P_A5_8,
  P_A5_9,
  AUX_K27,
  PASID_ATTACH,
];

/** The race with this id, in any case; undefined for none. */
export function raceById(id: string): Race | undefined {
  const wanted = id.toUpperCase();
  return CORPUS.find((race) => race.id.toUpperCase() === wanted);
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
