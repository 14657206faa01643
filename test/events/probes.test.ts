import { expect, test } from 'vitest';
import { ftrace } from '../../events/formats/ftrace.js';
import { readEvents } from './read-events.js';

const HEAD = '            vfio-412     [001] .....   100.000000: ';

test.each([
  'iommu_msi_set_aperture',
  'iommu_msi_get_doorbell_iova',
  'iommu_dma_prepare_msi',
  'iommu_uapi_cache_invalidate',
  'intel_iommu_sva_invalidate',
])('%s is a call with its device and domain, and a return', (fn) => {
  const text = [
    `${HEAD}${fn}: (${fn}+0x0/0x40) dev="0000:02:00.0" domain=0xffff888100000000`,
    `${HEAD}${fn}_ret: (vfio_pci_ioctl+0x40/0x80 <- ${fn}) ret=-22`,
  ].join('\n');
  expect(readEvents(ftrace, text)).toMatchObject([
    { type: 'function_call', fn, dev: '0000:02:00.0' },
    { type: 'function_return', fn, ret: -22 },
  ]);
});
