/** IOASIDs as a child would keep them: what the model of the code is compared with. */

export type IoasidCall =
  | {
      readonly call: 'alloc';
      readonly set: string | null;
      readonly min: number;
      readonly max: number;
      readonly priv: string | null;
    }
  | { readonly call: 'free'; readonly id: number }
  | {
      readonly call: 'find';
      readonly set: string | null;
      readonly id: number;
      /** What a getter answers; none where left out. */
      readonly getter?: boolean;
    }
  | { readonly call: 'set_data'; readonly id: number; readonly priv: string | null }
  | { readonly call: 'register' | 'unregister'; readonly ops: string };

interface Space {
  readonly helpers: string;
  /** In the order of their registration. */
  readonly sharers: string[];
  readonly ids: Map<number, { readonly set: string | null; priv: string | null }>;
}

/** Ids that the host has. */
const HOST = [1, 2];

export class IoasidReference {
  private readonly fallback: Space = { helpers: '', sharers: [], ids: new Map() };
  private customs: Space[] = [];
  private readonly given = new Set<number>();
  readonly log: string[] = [];

  /**
   * @param helpers of each ops, by name
   * @param xarray as posted in 2023
   */
  constructor(
    private readonly helpers: Readonly<Record<string, string>>,
    private readonly xarray: boolean,
  ) {}

  private get active(): Space {
    return this.customs[0] ?? this.fallback;
  }

  /** Whether A5.3 leaves the call its meaning: no D-A5-1 to 3, no D-A5-5. */
  isDefined(call: IoasidCall): boolean {
    if (call.call !== 'register' && call.call !== 'unregister') return true;
    const space = this.customs.find(({ sharers }) => sharers.includes(call.ops));
    if (call.call === 'register') return space === undefined;
    return space !== undefined && (space.sharers.length === 1 || space.sharers[0] !== call.ops);
  }

  /** What the call answers. */
  do(call: IoasidCall): unknown {
    const { ids } = this.active;
    switch (call.call) {
      case 'alloc': {
        const custom = this.active !== this.fallback;
        let id = call.min;
        const free = (each: number) =>
          custom ? HOST.includes(each) && !this.given.has(each) : !ids.has(each);
        while (id <= call.max && !free(id)) id++;
        if (id > call.max) {
          if (!custom) this.log.push(`Failed to alloc ioasid from ${call.min} to ${call.max}`);
          if (!this.xarray) this.log.push(`Failed ASID allocation ${custom ? 1 : 0}`);
          return -1;
        }
        if (custom) this.given.add(id);
        ids.set(id, { set: call.set, priv: call.priv });
        return id;
      }
      case 'free':
        if (!ids.delete(call.id)) {
          if (!this.xarray) this.log.push(`Trying to free unknown IOASID ${call.id}`);
        } else if (this.active !== this.fallback) this.given.delete(call.id);
        return undefined;
      case 'find': {
        const data = ids.get(call.id);
        if (data === undefined) return { err: -2 };
        if (call.set !== null && data.set !== call.set) return { err: -13 };
        return { priv: call.getter === false ? null : data.priv };
      }
      case 'set_data': {
        const data = ids.get(call.id);
        if (data === undefined) return -2;
        data.priv = call.priv;
        return 0;
      }
      case 'register':
        return this.register(call.ops);
      case 'unregister':
        this.unregister(call.ops);
        return 0;
    }
  }

  private register(ops: string): number {
    if (this.customs.length === 0 && this.fallback.ids.size > 0) {
      this.log.push('Default allocator active with outstanding IOASID');
      return -11;
    }
    const same = this.customs.find(({ helpers }) => helpers === this.helpers[ops]);
    if (same !== undefined) same.sharers.push(ops);
    else this.customs.push({ helpers: this.helpers[ops], sharers: [ops], ids: new Map() });
    return 0;
  }

  private unregister(ops: string): void {
    const space = this.customs.find(({ sharers }) => sharers.includes(ops))!;
    space.sharers.splice(space.sharers.indexOf(ops), 1);
    if (space.sharers.length > 0) return;
    const wasActive = space === this.active;
    this.customs = this.customs.filter((each) => each !== space);
    if (space.ids.size > 0) this.log.push('WARN_ON');
    if (this.customs.length === 0) {
      this.log.push('No custom IOASID allocators, switch to default.');
    } else if (wasActive) this.log.push('IOASID allocator changed');
  }
}
