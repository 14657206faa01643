/**
 * iommu_domain.type as sysfs names it. Source: include/linux/iommu.h (__IOMMU_DOMAIN_PAGING 1,
 * DMA_API 2, PT 4, DMA_FQ 8), iommu_domain_type_str.
 */
const TYPES = new Map<number, string>([
  [0x0, 'blocked'],
  [0x1, 'unmanaged'],
  [0x3, 'DMA'],
  [0x4, 'identity'],
  [0xb, 'DMA-FQ'],
]);

/** The sysfs name of a type number; the number itself in hexadecimal where it has none. */
export function domainTypeName(type: number): string {
  return TYPES.get(type) ?? `0x${type.toString(16)}`;
}

/** Whether a default domain can have this type: only these are what sysfs `type` shows. */
export function isDefaultDomainType(type: number): boolean {
  return (type & 0x2) !== 0 || type === 0x4;
}
