/**
 * IOVA ranges as map and unmap show them, and the candidates for a fault.
 *
 * The events carry no device and no domain, so one range may be live in several domains at once.
 * What can be proven is little: a vendor's `dev=` field names the owner, and the kernel itself says
 * in unmapped_size when it found less than it was asked to unmap. Everything else is a candidate.
 * Sources: formats.md 0.8, 2.5; drivers/iommu/iommu.c.
 */

import type { Context } from './context.js';
import type { Source } from '../../events/batch.js';
import type { EventRef } from './verdicts.js';

interface Live {
  size: number;
  /** How many domains have the range mapped, as far as the trace shows. */
  count: number;
}

/** One map or unmap that covered a faulting address. */
export interface FaultCandidate {
  readonly kind: 'map' | 'unmap';
  readonly iova: number;
  readonly size: number;
  readonly at: EventRef;
}

export interface Fault {
  readonly dev: string;
  readonly iova: number;
  readonly access: string;
  readonly at: EventRef;
  /** The newest map and unmap that covered the address, newest first. */
  readonly candidates: readonly FaultCandidate[];
  /** Ranges of map and unmap were read at all, so no candidate means that nothing covered it. */
  readonly mapped: boolean;
}

/** Maps and unmaps remembered for faults. */
const REMEMBERED = 32768;
/** Live ranges beyond which the oldest are forgotten (unmaps that the trace does not show). */
const MAX_LIVE = 262144;
/** Faults kept. */
const MAX_FAULTS = 1000;

export class IovaTracker {
  readonly faults: Fault[] = [];
  faultCount = 0;
  private readonly live = new Map<string | number, Live>();
  private readonly ring = new RangeRing(REMEMBERED);
  private started = false;

  constructor(private readonly ctx: Context) {}

  map(iova: number, size: number, dev: string | undefined): void {
    const { ctx } = this;
    this.started = true;
    this.ring.add(0, iova, size, ctx);
    const key = dev === undefined ? iova : `${dev} ${iova}`;
    const known = this.live.get(key);
    ctx.verdicts.check('IOVA-map');
    if (known !== undefined && known.count > 0) {
      if (dev !== undefined) {
        ctx.violate('IOVA-map', `${dev}: ${range(iova, size)} is mapped while it is live`);
      } else {
        ctx.verdicts.doubt(
          'IOVA-map',
          'not recorded',
          `${range(iova, size)} is mapped while it is live, perhaps in another domain: the event does not say whose it is`,
        );
      }
    }
    if (known === undefined) {
      if (this.live.size >= MAX_LIVE) {
        for (const oldest of this.live.keys()) {
          this.live.delete(oldest);
          break;
        }
      }
      this.live.set(key, { size, count: 1 });
    } else {
      known.count = dev === undefined ? known.count + 1 : 1;
      known.size = size;
    }
  }

  unmap(iova: number, size: number, unmapped: number, dev: string | undefined): void {
    const { ctx } = this;
    this.started = true;
    this.ring.add(1, iova, size, ctx);
    const key = dev === undefined ? iova : `${dev} ${iova}`;
    const known = this.live.get(key);
    ctx.verdicts.check('IOVA-unmap');
    if (unmapped < size) {
      // The kernel looked and found less than it was asked for.
      ctx.violate(
        'IOVA-unmap',
        `${range(iova, size)} is unmapped, but only ${unmapped} of its ${size} bytes were mapped`,
      );
    } else if (dev !== undefined && known?.count === 0) {
      ctx.violate('IOVA-unmap', `${dev}: ${range(iova, size)} is unmapped twice`);
    }
    if (known === undefined || known.count === 0) return;
    known.count--;
    // Whose range it was is worth remembering only where the events say it.
    if (known.count === 0 && dev === undefined) this.live.delete(key);
  }

  fault(dev: string, iova: number, access: string, tolerance: number): void {
    const { ctx } = this;
    this.faultCount++;
    if (this.faults.length >= MAX_FAULTS) return;
    this.faults.push({
      dev,
      iova,
      access,
      at: ctx.ref(),
      candidates: this.ring.covering(iova, ctx.time + tolerance),
      mapped: this.started,
    });
  }

  forget(): void {
    this.live.clear();
  }
}

function range(iova: number, size: number): string {
  return `iova 0x${iova.toString(16)}+0x${size.toString(16)}`;
}

/** The newest maps and unmaps, without an object for each. */
class RangeRing {
  private readonly kind: Uint8Array;
  private readonly iova: Float64Array;
  private readonly size: Float64Array;
  private readonly seq: Float64Array;
  private readonly time: Float64Array;
  private readonly line: Int32Array;
  private readonly source: Source[] = [];
  private next = 0;
  private count = 0;

  constructor(private readonly capacity: number) {
    this.kind = new Uint8Array(capacity);
    this.iova = new Float64Array(capacity);
    this.size = new Float64Array(capacity);
    this.seq = new Float64Array(capacity);
    this.time = new Float64Array(capacity);
    this.line = new Int32Array(capacity);
  }

  add(kind: number, iova: number, size: number, ctx: Context): void {
    const k = this.next;
    this.kind[k] = kind;
    this.iova[k] = iova;
    this.size[k] = size;
    this.seq[k] = ctx.seq;
    this.time[k] = ctx.time;
    const { batch, i } = ctx;
    if (batch.extra.size > 0 && batch.extra.has(i)) {
      const { line, file, format } = batch.origin(i);
      this.line[k] = line;
      this.source[k] = { file, format };
    } else {
      this.line[k] = batch.line[i];
      this.source[k] = batch.sources[batch.source[i]];
    }
    this.next = (k + 1) % this.capacity;
    if (this.count < this.capacity) this.count++;
  }

  /** The newest map and the newest unmap not after `until` (ns) that cover `address`. */
  covering(address: number, until: number): FaultCandidate[] {
    const found: FaultCandidate[] = [];
    for (let back = 1; back <= this.count && found.length < 2; back++) {
      const k = (this.next - back + this.capacity) % this.capacity;
      if (this.time[k] > until) continue;
      if (address < this.iova[k] || address >= this.iova[k] + this.size[k]) continue;
      const kind = this.kind[k] === 0 ? 'map' : 'unmap';
      if (found.some((candidate) => candidate.kind === kind)) continue;
      const at: EventRef = {
        seq: this.seq[k],
        time: this.time[k],
        origin: { ...this.source[k], line: this.line[k] },
      };
      found.push({ kind, iova: this.iova[k], size: this.size[k], at });
      if (kind === 'map') break; // an older unmap belongs to an older mapping
    }
    return found;
  }
}
