/** The value of `--kernel`. */

import type { KernelProfile } from '../../machines/profiles/profile.js';
import { profileByName, PROFILES } from '../../machines/profiles/timeline.js';
import { UsageError } from './usage-error.js';

/** The profile of a version from 3.6 on. Throws UsageError. */
export function kernelOf(name: string): KernelProfile {
  const profile = profileByName(name);
  if (profile !== undefined) return profile;
  const known = PROFILES.map((p) => p.name).join(', ');
  throw new UsageError(`"${name}" is no kernel version from 3.6 on; profiles: ${known}`);
}

/** The profiles of `v5.10,v6.12`, each once and oldest first; of `all`, those that have a name. */
export function kernelsOf(names: string): readonly KernelProfile[] {
  if (names.trim().toLowerCase() === 'all') return PROFILES;
  const profiles = names.split(',').map((name) => kernelOf(name.trim()));
  const byName = new Map(profiles.map((profile) => [profile.name, profile]));
  return [...byName.values()].sort(
    (a, b) => a.version[0] - b.version[0] || a.version[1] - b.version[1],
  );
}
