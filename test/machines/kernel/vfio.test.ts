import { describe, expect, it } from 'vitest';
import { kref_put_mutex, listDel, store } from '../../../machines/kernel/memory.js';
import { notifier_call_chain } from '../../../machines/kernel/notifier-chain.js';
import {
  vfio_del_group_dev,
  vfio_dev_viable,
  vfio_device_put,
  vfio_group_put,
} from '../../../machines/kernel/vfio.js';
import type { Vfio } from '../../../machines/kernel/vfio.js';
import { mutexMachine } from '../../../machines/mutex.js';
import { listed, struct } from '../../../machines/object.js';
import type { ObjectMemory } from '../../../machines/object.js';
import { profileByName } from '../../../machines/profiles/timeline.js';
import { vfioGroup } from '../../../machines/races/vfio-group.js';
import type { VfioGroupOptions } from '../../../machines/races/vfio-group.js';
import { lock, unlock } from '../../../machines/step.js';
import { explore } from '../../../src/explore/explore.js';
import { Alone } from './run-alone.js';

function setUp(kernel: string, options?: VfioGroupOptions): { v: Vfio; alone: Alone } {
  const { v, entities } = vfioGroup(profileByName(kernel)!, options);
  return { v, alone: new Alone({ ...entities, d1: struct({ fields: { driver: 'e1000e' } }) }) };
}

const group = (alone: Alone) => alone.context('group') as ObjectMemory;

describe('kref_put_mutex', () => {
  const put = () =>
    kref_put_mutex('o', 'm', function* () {
      yield* store('o', 'released', true);
      yield* unlock('m');
    });

  it('of a reference that is not the last needs no mutex', () => {
    const alone = new Alone({ o: struct({ refs: 2 }), m: mutexMachine });
    alone.run(lock('m'), 'other');
    alone.run(put());
    expect(alone.context('o')).toEqual({ refs: 1, fields: {} });
  });

  it('of the last one waits for the mutex, and releases', () => {
    const alone = new Alone({ o: struct({ refs: 1 }), m: mutexMachine });
    alone.run(lock('m'), 'other');
    expect(() => alone.run(put())).toThrow('it waits at lock(m)');
    alone.run(unlock('m'), 'other');
    alone.run(put());
    expect(alone.context('o')).toEqual({ refs: 0, fields: { released: true } });
    alone.run(lock('m'), 'other');
  });

  it('of none is a violation', () => {
    const alone = new Alone({ o: struct({ refs: 0 }), m: mutexMachine });
    expect(() => alone.run(kref_put_mutex('o', 'm', () => unlock('m')))).toThrow('INV-24');
  });
});

describe('vfio_del_group_dev', () => {
  it.each(['v3.6', 'v3.11', 'v4.0'])('of the last device releases the group: %s', (kernel) => {
    const { v, alone } = setUp(kernel);
    alone.run(vfio_del_group_dev(v, 'd0'));
    expect(listed(alone.context('vfio') as ObjectMemory, 'group_list')).toEqual([]);
    expect(alone.context('notifier->blocks')).toMatchObject({
      heads: { notifier: null },
      blocks: { 'group->nb': { freed: true } },
    });
    expect(() => alone.run(vfio_group_put(v))).toThrow('INV-24');
  });

  it('leaves a group that is open', () => {
    const { v, alone } = setUp('v4.0', { files: 1 });
    alone.run(vfio_del_group_dev(v, 'd0'));
    expect(group(alone).refs).toBe(1);
    expect(listed(group(alone), 'device_list')).toEqual([]);
    expect(listed(group(alone), 'unbound_list')).toEqual(['d0']);
  });

  it.each([
    ['is closed', true, []],
    ['stays open', false, ['deadlock']],
  ])('waits for a device that %s', (_title, closes, rules) => {
    const { v, entities } = vfioGroup(profileByName('v4.13')!, { deviceFiles: 1 });
    const threads = {
      remove: () => vfio_del_group_dev(v, 'd0'),
      ...(closes ? { close: () => vfio_device_put(v, v.device('d0')) } : {}),
    };
    const { counterexamples } = explore({ name: 'open', entities, threads });
    expect(counterexamples.map(({ rule }) => rule)).toEqual(rules);
  });
});

describe('vfio_dev_viable', () => {
  it.each([
    ['a device of vfio', 'd0', 'v3.6', 0],
    ['a device of vfio', 'd0', 'v4.0', 0],
    ['a foreign driver', 'd1', 'v3.6', -22],
    ['a foreign driver', 'd1', 'v4.0', -22],
  ])('%s, %s, %s: %i', (_title, dev, kernel, ret) => {
    const { v, alone } = setUp(kernel);
    expect(alone.run(vfio_dev_viable(v, dev))).toBe(ret);
    expect(group(alone).refs).toBe(1);
  });

  it('of a device without a driver is 0', () => {
    const { v, alone } = setUp('v3.6');
    alone.run(store('d1', 'driver', null));
    expect(alone.run(vfio_dev_viable(v, 'd1'))).toBe(0);
  });

  it.each([
    ['v3.19', -22],
    ['v4.0', 0],
  ])('of a device that vfio let go of and that has its driver still, %s: %i', (kernel, ret) => {
    const { v, alone } = setUp(kernel, { files: 1 });
    alone.run(vfio_del_group_dev(v, 'd0'));
    expect(alone.run(vfio_dev_viable(v, 'd0'))).toBe(ret);
  });
});

describe('vfio_iommu_group_notifier', () => {
  const told = (v: Vfio, action: string, dev: string) =>
    notifier_call_chain(v.chain, action, { dev });

  it.each(['ADD_DEVICE', 'DEL_DEVICE', 'BIND_DRIVER', 'BOUND_DRIVER', 'UNBOUND_DRIVER'])(
    'is called with %s of a device that it does not know, and keeps no reference',
    (action) => {
      const { v, alone } = setUp('v3.6');
      expect(alone.run(told(v, action, 'd1'))).toBe(1);
      expect(group(alone).refs).toBe(1);
    },
  );

  it.each([
    ['ADD_DEVICE', 'v3.6', 'INV-02'],
    ['ADD_DEVICE', 'v4.0', 'INV-02'],
    ['DEL_DEVICE', 'v3.9', 'INV-05'],
  ])('%s of a device that it knows, %s: breaks %s', (action, kernel, rule) => {
    const { v, alone } = setUp(kernel);
    expect(() => alone.run(told(v, action, 'd0'))).toThrow(rule);
  });

  it('takes DEL_DEVICE of a device that it knows from v3.10 on', () => {
    const { v, alone } = setUp('v3.10');
    expect(alone.run(told(v, 'DEL_DEVICE', 'd0'))).toBe(1);
  });

  it('is a BUG where a foreign driver was bound in a group in use, and in that alone', () => {
    const { v, alone } = setUp('v3.6');
    alone.run(store('group', 'container_users', 1));
    expect(alone.run(told(v, 'BOUND_DRIVER', 'd0'))).toBe(1);
    expect(() => alone.run(told(v, 'BOUND_DRIVER', 'd1'))).toThrow('kernel BUG');
  });

  it('takes a device off unbound_list at UNBOUND_DRIVER', () => {
    const { v, alone } = setUp('v4.0', { files: 1 });
    alone.run(vfio_del_group_dev(v, 'd0'));
    alone.run(told(v, 'UNBOUND_DRIVER', 'd0'));
    expect(listed(group(alone), 'unbound_list')).toEqual([]);
  });

  it('puts its reference in a worker from v4.13 on', () => {
    const { v, alone } = setUp('v4.13');
    expect(() => alone.run(told(v, 'BIND_DRIVER', 'd1'))).toThrow('does not spawn');
    expect(group(alone).refs).toBe(2);
  });

  it.each([
    ['v3.9', 'INV-13'],
    ['v3.10', undefined],
  ])('of a group that is off the list, %s: breaks %s', (kernel, rule) => {
    const { v, alone } = setUp(kernel);
    alone.run(listDel('vfio', 'group_list', 'group'));
    const call = () => alone.run(told(v, 'UNBOUND_DRIVER', 'd1'));
    if (rule === undefined) expect(call()).toBe(1);
    else expect(call).toThrow(rule);
  });
});
