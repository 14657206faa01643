/** A replay feeds buses: who listens to one hears the recorded notifications as if they were live. */

import { join } from 'node:path';
import { mergeMap } from 'rxjs';
import { describe, expect, test } from 'vitest';
import type { HotplugNotification } from '../../../src/bus/hotplug-notification.js';
import { Replay } from '../../../src/replay/replay.js';
import { FIXTURES } from '../cli/command.js';

const trace = (name: string) => [join(FIXTURES, name, 'trace.txt.gz')];
const word = ({ seq, chain, action, dev }: HotplugNotification) =>
  `${seq} ${chain} ${action} ${dev}`;

describe.each(['5.10-add-del-native', '7.2-add-del-native'])('%s', (name) => {
  test('blocks on its buses and streams of its groups hear what notifications$ tells', async () => {
    const replay = new Replay({ files: trace(name) });
    const all: string[] = [];
    const heard: string[] = [];
    const groups: string[] = [];
    const buses: string[] = [];
    const ofKnownGroups: string[] = [];
    replay.notifications$.subscribe((n) => {
      all.push(word(n));
      // ADD_DEVICE comes before the trace tells to which group.
      if (n.chain === 'group' && typeof n.group === 'number') ofKnownGroups.push(word(n));
    });
    replay.buses$.subscribe((bus) => {
      buses.push(bus.name);
      bus.register({ name: 'mine', call: (_, n) => (heard.push(word(n)), 0) });
      bus.groups$
        .pipe(mergeMap(({ notifications$ }) => notifications$))
        .subscribe((n) => groups.push(word(n)));
    });
    const { kernel } = await replay.run();
    expect(heard).toEqual(all.filter((line) => line.includes(' bus ')));
    expect(heard.length).toBeGreaterThan(10);
    expect(groups).toEqual(ofKnownGroups);
    expect(groups.length > 0).toBe(kernel.profile.groupNotifier);
    expect(new Set(buses).size).toBe(buses.length);
  });

  test('callbacks that sleep are waited for; what one throws is the replay’s error', async () => {
    const replay = new Replay({ files: trace(name), history: false });
    let over = 0;
    let called = 0;
    replay.buses$.subscribe((bus) => {
      const call = async () => {
        called++;
        await new Promise((resolve) => setTimeout(resolve, 5));
        over++;
        return 0;
      };
      bus.register({ name: 'sleeps', call });
    });
    await replay.run();
    expect(called).toBeGreaterThan(10);
    expect(over).toBe(called);

    const failing = new Replay({ files: trace(name), history: false });
    const oops = new Error('oops');
    failing.buses$.subscribe((bus) => {
      const call = () => {
        throw oops;
      };
      bus.register({ name: 'fails', call });
    });
    await expect(failing.run()).rejects.toBe(oops);
  });
});
