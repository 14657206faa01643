import { describe, expect, it } from 'vitest';
import { busAction } from '../../events/actions.js';
import type { KernelProfile } from '../../machines/profiles/profile.js';
import {
  CHANGES,
  compareVersions,
  profileByName,
  profileForVersion,
  PROFILES,
  releaseVersion,
} from '../../machines/profiles/timeline.js';

function profile(kernel: string): KernelProfile {
  return profileByName(kernel)!;
}

describe('the numbers of bus actions (B.4)', () => {
  it.each([
    ['v3.6', 'v3.6'],
    ['v3.17', 'v3.6'],
    ['v3.18', 'v3.18'],
    ['v4.14', 'v3.18'],
    ['v5.10', 'v3.18'],
    ['v6.1', 'v3.18'],
    ['v6.2', 'v3.18'],
    ['v6.3', 'v6.3'],
    ['v6.12', 'v6.3'],
    ['v7.2', 'v6.3'],
  ])('of %s are those of %s', (kernel, numbering) => {
    expect(profile(kernel).numbering).toBe(numbering);
  });

  it.each([
    ['v3.17', 3, 'BIND_DRIVER'],
    ['v3.18', 3, 'REMOVED_DEVICE'],
    ['v6.2', 1, 'ADD_DEVICE'],
    ['v6.3', 0, 'ADD_DEVICE'],
    ['v6.2', 0, undefined],
    ['v6.2', 8, 'DRIVER_NOT_BOUND'],
    ['v6.3', 8, undefined],
    ['v6.3', 3, 'BIND_DRIVER'],
  ])('on %s the number %i is %s', (kernel, value, action) => {
    expect(busAction(profile(kernel).numbering, value)).toBe(action);
  });
});

describe('facts at the version that changed them', () => {
  type Facts = Omit<KernelProfile, 'name' | 'version'>;
  it.each<[keyof Facts, string, string, unknown, unknown]>([
    ['numbering', 'v3.17', 'v3.18', 'v3.6', 'v3.18'],
    ['numbering', 'v6.2', 'v6.3', 'v3.18', 'v6.3'],
    ['removedDevice', 'v3.17', 'v3.18', false, true],
    ['groupLeftAt', 'v3.17', 'v3.18', 'DEL_DEVICE', 'REMOVED_DEVICE'],
    ['bindUevents', 'v4.13', 'v4.14', false, true],
    ['notBound', 'v4.13', 'v4.14', false, true],
    ['printsRemoval', 'v5.7', 'v5.8', false, true],
    ['printsRemoval', 'v6.4', 'v6.5', true, false],
    ['devresBeforeDmaTeardown', 'v4.20', 'v5.0', 'nowhere', 'unbind'],
    ['devresBeforeDmaTeardown', 'v5.1', 'v5.2', 'unbind', 'everywhere'],
    ['deadFlag', 'v5.8', 'v5.9', false, true],
    ['asyncScheduledUnlocked', 'v5.18', 'v5.19', 'nobody', '__device_attach'],
    ['asyncScheduledUnlocked', 'v5.19', 'v6.0', '__device_attach', 'both'],
    ['slotHoldsBus', 'v6.12', 'v6.13', false, true],
    ['notBoundNeedsBind', 'v5.16', 'v5.17', false, true],
    ['groupNotifier', 'v5.18', 'v5.19', true, false],
    ['dmaOwnership', 'v5.18', 'v5.19', false, true],
    ['blockingDomain', 'v5.18', 'v5.19', false, true],
    ['detachTracepoint', 'v6.2', 'v6.3', true, false],
    ['notifierTracepoints', 'v6.3', 'v6.4', false, true],
    ['addBeforeAttach', 'v6.4', 'v6.5', false, true],
    ['pciHpEvent', 'v6.19', 'v7.0', false, true],
    ['readyFlag', 'v7.0', 'v7.1', false, true],
    ['addErrnoStops', 'v5.9', 'v5.10', true, false],
    ['duplicateRegistration', 'v5.4', 'v5.5', 'corrupts', 'ignored'],
    ['duplicateRegistration', 'v5.16', 'v5.17', 'ignored', 'refused'],
    ['uniquePriority', 'v5.19', 'v6.1', [], ['blocking', 'atomic']],
    ['robustCall', 'v5.9', 'v5.10', [], ['blocking', 'raw', 'atomic']],
    ['robustCall', 'v5.19', 'v6.1', ['blocking', 'raw', 'atomic'], ['blocking', 'raw']],
    ['deadChecked', 'v5.0', 'v5.1', 'nowhere', 'async'],
    ['deadChecked', 'v5.8', 'v5.9', 'async', 'all paths'],
    ['asyncScheduledUnlocked', 'v5.18', 'v5.19', 'nobody', '__device_attach'],
    ['asyncScheduledUnlocked', 'v5.19', 'v6.0', '__device_attach', 'both'],
    ['devresBeforeDmaTeardown', 'v4.20', 'v5.0', 'nowhere', 'unbind'],
    ['devresBeforeDmaTeardown', 'v5.1', 'v5.2', 'unbind', 'everywhere'],
    ['slotHoldsBus', 'v6.12', 'v6.13', false, true],
    ['busNotify', 'v6.2', 'v6.3', false, true],
    ['blockPerBus', 'v3.17', 'v3.18', false, true],
    ['busSetAtRegister', 'v6.0', 'v6.1', false, true],
    ['groupDomain', 'v4.1', 'v4.2', false, true],
    ['failedAttach', 'v4.14', 'v4.15', 'ignored', 'keeps link'],
    ['failedAttach', 'v5.4', 'v5.5', 'keeps link', 'unwound'],
    ['groupAttributes', 'v4.10', 'v4.11', false, true],
    ['allocUnwinds', 'v6.2', 'v6.3', false, true],
    ['failedKobjectAdd', 'v5.6', 'v5.7', 'frees', 'frees the id twice'],
    ['smmuGroupLocked', 'v5.14', 'v5.15', false, true],
    ['vfioAwaitsUsers', 'v6.1', 'v6.2', false, true],
    ['asyncProbe', 'v4.1', 'v4.2', false, true],
    ['storesType', 'v5.10', 'v5.11', false, true],
    ['storeTypeLocksDevice', 'v6.3', 'v6.4', true, false],
    ['releasesUnderMutex', 'v6.3', 'v6.4', false, true],
    ['fwspecLocked', 'v6.6', 'v6.7', false, true],
    ['pasidUndoesReached', 'v6.9', 'v6.10', false, true],
    ['failedKobjectAdd', 'v6.0', 'v6.1', 'frees the id twice', 'put'],
    ['nullGroupChecked', 'v5.9', 'v5.10', false, true],
    ['probeDevice', 'v5.7', 'v5.8', false, true],
    ['releasesBeforeGroup', 'v5.7', 'v5.8', false, true],
    ['defaultDomainLocked', 'v5.14', 'v5.15', false, true],
    ['devIommuClearedFirst', 'v5.16', 'v5.17', false, true],
    ['probeLocked', 'v6.1', 'v6.2', false, true],
    ['attachUndo', 'v6.2', 'v6.3', 'nothing', 'reattaches'],
    ['attachUndo', 'v6.4', 'v6.5', 'reattaches', 'unwinds'],
    ['defaultDomainAwaited', 'v6.14', 'v6.15', false, true],
    ['vfioWarnsAtDel', 'v3.9', 'v3.10', true, false],
    ['vfioWarnsOffList', 'v3.9', 'v3.10', true, false],
    ['vfioHoldsGroup', 'v3.10', 'v3.11', false, true],
    ['vfioUnboundList', 'v3.19', 'v4.0', false, true],
    ['vfioUnboundList', 'v5.18', 'v5.19', true, false],
    ['vfioPutsInWorker', 'v4.12', 'v4.13', false, true],
  ])('%s between %s and %s', (fact, before, since, was, is) => {
    expect([profile(before)[fact], profile(since)[fact]]).toEqual([was, is]);
  });

  it('change nowhere else', () => {
    const versions: [number, number][] = [];
    for (let minor = 6; minor <= 19; minor++) versions.push([3, minor]);
    for (let minor = 0; minor <= 20; minor++) versions.push([4, minor]);
    for (let minor = 0; minor <= 19; minor++) versions.push([5, minor]);
    for (let minor = 0; minor <= 19; minor++) versions.push([6, minor]);
    for (let minor = 0; minor <= 3; minor++) versions.push([7, minor]);
    const changed: string[] = [];
    for (let n = 1; n < versions.length; n++) {
      const facts = (v: [number, number]) =>
        JSON.stringify({ ...profileForVersion(v), name: '', version: [] });
      if (facts(versions[n]) !== facts(versions[n - 1])) changed.push(versions[n].join('.'));
    }
    expect(changed).toEqual(
      [
        '3.10 3.11 3.18 4.0 4.2 4.11 4.13 4.14 4.15 5.0 5.1 5.2 5.5 5.7 5.8 5.9 5.10 5.11 5.14 5.15 5.17 5.19',
        '6.0 6.1 6.2 6.3 6.4 6.5 6.7 6.10 6.13 6.15 7.0 7.1 7.2',
      ]
        .join(' ')
        .split(' '),
    );
  });

  it('are told in order, each with its commit or its name', () => {
    for (let n = 1; n < CHANGES.length; n++) {
      expect(compareVersions(CHANGES[n - 1].since, CHANGES[n].since)).toBeLessThan(0);
    }
    for (const { by } of CHANGES) expect(by).not.toBe('');
  });
});

describe('a profile by name', () => {
  it.each([
    ['v6.12', 'v6.12'],
    ['6.12', 'v6.12'],
    ['6.12.107+deb13-amd64', 'v6.12'],
    ['5.10.0-46-amd64', 'v5.10'],
    ['7.2.13+deb14-amd64', 'v7.2'],
    ['6.19-rc3', 'v6.19'],
    ['6.8~rc1', 'v6.8'],
    ['v3.6', 'v3.6'],
    ['3.6.11', 'v3.6'],
  ])('%s is %s', (name, expected) => {
    expect(profileByName(name)).toMatchObject({ name: expected });
    expect(profileByName(name)).toEqual(profileForVersion(profileByName(name)!.version));
  });

  it.each([
    'nonsense',
    '',
    '2.6',
    '2.6.32-754.el6',
    '3.5',
    'v',
    '6',
    '6.',
    '.12',
    '6.12x',
    'x6.12',
    '6,12',
    '-6.12',
    '6.12345',
    '1234.1',
    '__proto__',
    `6.12${' '.repeat(100_000)}x`.slice(4),
  ])('%j is none', (name) => {
    expect(profileByName(name)).toBeUndefined();
  });

  it('reads the version of a release, however old', () => {
    expect(releaseVersion('2.6.32')).toEqual([2, 6]);
    expect(releaseVersion('no release')).toBeUndefined();
  });

  it('of a version before 3.6 is what 3.6 did', () => {
    expect({ ...profileForVersion([2, 6]), name: '', version: [] }).toEqual({
      ...profileForVersion([3, 6]),
      name: '',
      version: [],
    });
  });
});

describe('the named generations', () => {
  it('are those of the trees that were read, oldest first', () => {
    expect(PROFILES.map((p) => p.name)).toEqual(['v3.6', 'v5.10', 'v6.1', 'v6.12', 'v7.2']);
    for (const known of PROFILES) expect(profileByName(known.name)).toEqual(known);
  });
});

describe('versions', () => {
  it.each<[readonly [number, number], readonly [number, number], number]>([
    [[6, 2], [6, 3], -1],
    [[6, 10], [6, 9], 1],
    [[5, 19], [6, 0], -1],
    [[6, 12], [6, 12], 0],
  ])('%j against %j', (a, b, sign) => {
    expect(Math.sign(compareVersions(a, b))).toBe(sign);
    expect(Math.sign(compareVersions(b, a))).toBe(sign === 0 ? 0 : -sign);
  });
});
