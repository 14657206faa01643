/**
 * The steps of the 2012 review: iommu_group_add_device from AD7 on and iommu_group_remove_device up to
 * RM7 of v3.6, without the links and references that the race does not need, and in the orders that
 * the reviewers discussed. The whole operations are those of machines/kernel/iommu-group.ts. Source:
 * A1.3, A1.4.
 */
import { busActionValue, GROUP_ACTIONS } from '../../events/actions.js';
import type { EventFact } from '../../events/event.js';
import type { DeviceListReply } from '../device-list.js';
import type { NotedChain } from '../chain-note.js';
import { profileByName } from '../profiles/timeline.js';
import { deliver, lock, note, SELF, send, unlock } from '../step.js';
import type { Thread } from '../step.js';
import type { VariableReply } from '../variable.js';

/**
 * In which order a device joins the list and its listeners are told, and under which lock: as
 * posted; ALT-A1-a; ALT-A1-b with group->mutex (b1) and with a mutex of its own (b2).
 */
export type GroupVariant =
  'as posted' | 'notify first' | 'under group->mutex' | 'under a second mutex';

/** The names of what a group is made of. */
export interface GroupEntities {
  readonly group: string;
  /** The bus of its devices: `pci`. */
  readonly bus: string;
  /** group->mutex */
  readonly mutex: string;
  /** group->devices */
  readonly list: string;
  /** The mutex of ALT-A1-b2. */
  readonly second: string;
  /** Blocks of group->notifier, in the order of their calls. */
  readonly listeners: readonly string[];
  /** A listener's callback takes group->mutex: iommu_group_for_each_dev. */
  readonly walks: boolean;
  /** dev->iommu_group of a device. */
  pointer(dev: string): string;
}

/** iommu_group_add_device, AD7–AD9. */
export function* iommu_group_add_device(
  g: GroupEntities,
  dev: string,
  variant: GroupVariant,
): Thread<void> {
  yield* send(
    g.pointer(dev),
    { type: 'write', value: g.group },
    `${dev}->iommu_group = ${g.group}`,
    [entered(g, 'iommu_group_add_device', dev)],
  );
  if (variant === 'notify first') {
    yield* notify(g, 'ADD_DEVICE', dev);
    yield* lock(g.mutex);
    yield* list_add_tail(g, dev);
    yield* unlock(g.mutex);
    return;
  }
  if (variant === 'under a second mutex') yield* lock(g.second);
  yield* lock(g.mutex);
  yield* list_add_tail(g, dev);
  if (variant !== 'under group->mutex') yield* unlock(g.mutex);
  yield* notify(g, 'ADD_DEVICE', dev);
  if (variant === 'under group->mutex') yield* unlock(g.mutex);
  if (variant === 'under a second mutex') yield* unlock(g.second);
}

/**
 * iommu_group_remove_device, RM1–RM7. Where dev->iommu_group is NULL it returns, as from v5.x on
 * (D-A1-5).
 */
export function* iommu_group_remove_device(
  g: GroupEntities,
  dev: string,
  variant: GroupVariant,
): Thread<void> {
  const { value } = yield* send<VariableReply>(
    g.pointer(dev),
    { type: 'read' },
    `group = ${dev}->iommu_group`,
    [entered(g, 'iommu_group_remove_device', dev)],
  );
  if (value === null) return;
  if (variant === 'under group->mutex' || variant === 'under a second mutex') {
    const outer = variant === 'under group->mutex' ? g.mutex : g.second;
    yield* lock(outer);
    if (outer !== g.mutex) yield* lock(g.mutex);
    const found = yield* list_del(g, dev);
    if (outer !== g.mutex) yield* unlock(g.mutex);
    if (found) yield* notify(g, 'DEL_DEVICE', dev);
    yield* unlock(outer);
    if (found) yield* clearPointer(g, dev);
    return;
  }
  yield* notify(g, 'DEL_DEVICE', dev);
  yield* lock(g.mutex);
  const found = yield* list_del(g, dev);
  yield* unlock(g.mutex);
  if (found) yield* clearPointer(g, dev);
}

function* list_add_tail(g: GroupEntities, dev: string): Thread<void> {
  yield* send(g.list, { type: 'list_add_tail', dev }, `list_add_tail(${dev})`);
}

function* list_del(g: GroupEntities, dev: string): Thread<boolean> {
  const reply = yield* send<DeviceListReply>(g.list, { type: 'list_del', dev }, `list_del(${dev})`);
  return reply.found;
}

function* clearPointer(g: GroupEntities, dev: string): Thread<void> {
  yield* send(g.pointer(dev), { type: 'write', value: null }, `${dev}->iommu_group = NULL`);
}

/**
 * blocking_notifier_call_chain(&group->notifier, …) while nobody registers. The calls and returns of
 * the chain and of its callbacks are facts of the steps at which they happen.
 */
function* notify(g: GroupEntities, action: 'ADD_DEVICE' | 'DEL_DEVICE', dev: string): Thread<void> {
  const chain: NotedChain = {
    name: `${g.group}->notifier`,
    kind: 'blocking',
    profile: V3_6,
    list: g.listeners,
  };
  const payload = { dev };
  const about = { dev, bus: g.bus, action: GROUP_ACTIONS.indexOf(action) + 1 };
  yield* note({ at: 'calls', chain, action, payload, nrToCall: -1 });
  yield* note({ at: 'walks', chain });
  for (const [n, listener] of g.listeners.entries()) {
    const returned: EventFact[] = [{ type: 'callback_return', fn: listener, ret: NOTIFY_OK }];
    if (n === g.listeners.length - 1) returned.push({ type: 'chain_return', ret: NOTIFY_OK });
    yield* note({ at: 'enters', chain, block: listener, action });
    yield* deliver(
      listener,
      { chain: chain.name, block: listener, action, payload },
      `notify ${action} ${dev}  -> listener ${listener}`,
      [
        ...(n === 0
          ? [{ type: 'chain_call', chain: `${g.group}->notifier`, ...about } as const]
          : []),
        { type: 'callback_call', fn: listener, ...about },
        ...(g.walks ? [] : returned),
      ],
    );
    if (g.walks) {
      yield* lock(g.mutex);
      const label = `unlock(${g.mutex})`;
      yield* send(g.mutex, { type: 'unlock', by: SELF }, label, returned);
    }
    yield* note({ at: 'returns', chain, ret: NOTIFY_OK });
  }
  yield* note({ at: 'returned', chain, ret: NOTIFY_OK, nrCalls: g.listeners.length });
}

const V3_6 = profileByName('v3.6')!;
/** include/linux/notifier.h */
const NOTIFY_OK = 1;

function entered(g: GroupEntities, fn: string, dev: string): EventFact {
  return { type: 'function_call', fn, dev, bus: g.bus };
}

/**
 * A device was added to its bus, which told its listeners: device_add of v3.6. Without it a replay
 * cannot tell that no older membership ends.
 */
export function deviceAdded(g: GroupEntities, dev: string): EventFact[] {
  const action = busActionValue('v3.6', 'ADD_DEVICE')!;
  return [
    { type: 'function_call', fn: 'device_add', dev, bus: g.bus },
    { type: 'chain_call', chain: `${g.bus}->bus_notifier`, dev, bus: g.bus, action },
    { type: 'chain_return', ret: NOTIFY_OK },
    { type: 'function_return', fn: 'device_add', ret: 0 },
  ];
}
