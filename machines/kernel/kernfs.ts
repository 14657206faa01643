/** What handlers and removal of an attribute in sysfs do: fs/kernfs/dir.c. Source: B.6. */

import type { KernfsReply } from '../kernfs-node.js';
import { SELF, send } from '../step.js';
import type { Thread } from '../step.js';

/**
 * kernfs_get_active: the attribute's handler is entered.
 *
 * @param node a kernfsNodeMachine
 * @returns false: it is being removed, and nobody enters any more
 */
export function* kernfs_get_active(node: string): Thread<boolean> {
  const reply = yield* send<KernfsReply>(
    node,
    { type: 'get_active', by: SELF },
    `kernfs_get_active(${node})`,
  );
  return reply.ok;
}

export function* kernfs_put_active(node: string): Thread<void> {
  yield* send(node, { type: 'put_active', by: SELF }, `kernfs_put_active(${node})`);
}

/** kernfs_remove, as of sysfs_remove_file: waits for those who are in the handler. */
export function* kernfs_remove(node: string): Thread<void> {
  yield* send(node, { type: 'deactivate' }, `kernfs_remove(${node})`);
  yield* send(node, { type: 'drain' }, `kernfs_drain(${node})`);
}
