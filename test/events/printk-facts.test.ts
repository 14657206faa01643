import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PrintkFact } from '../../events/event.js';
import {
  messageLoss,
  messagePrefix,
  namedDevice,
  nanoseconds,
  printkEvent,
  printkFact,
} from '../../events/printk-facts.js';

const fact = (text: string): PrintkFact | undefined => printkFact(text, messagePrefix(text));

describe('messagePrefix', () => {
  test.each<[string, string | undefined, string | undefined, string]>([
    [
      'ixgbe 0000:01:00.0: Adding to iommu group 0',
      'ixgbe',
      '0000:01:00.0',
      'Adding to iommu group 0',
    ],
    [
      'platform 506a000.gmu: Adding to iommu group 3',
      'platform',
      '506a000.gmu',
      'Adding to iommu group 3',
    ],
    ['fsl_mc dprc.1: Adding to iommu group 1', 'fsl_mc', 'dprc.1', 'Adding to iommu group 1'],
    [
      'platform display-subsystem: Adding to iommu group 1',
      'platform',
      'display-subsystem',
      'Adding to iommu group 1',
    ],
    [
      'vfio_mdev b323e53e-782f-41bb-a7b8-3538d76fc73a: Removing from iommu group 0',
      'vfio_mdev',
      'b323e53e-782f-41bb-a7b8-3538d76fc73a',
      'Removing from iommu group 0',
    ],
    [' some-device: Adding to iommu group 0', undefined, 'some-device', 'Adding to iommu group 0'],
    ['hub 1-0:1.0: USB hub found', 'hub', '1-0:1.0', 'USB hub found'],
    [
      'pciehp 0000:00:1c.0:pcie004: Slot(0): Link Up',
      'pciehp',
      '0000:00:1c.0:pcie004',
      'Slot(0): Link Up',
    ],
    ['Kernel command line: quiet', undefined, undefined, 'Kernel command line: quiet'],
    ['CPU 0: hello', undefined, undefined, 'CPU 0: hello'],
    ['reserve mem 0x1000-0x2000: x', undefined, undefined, 'reserve mem 0x1000-0x2000: x'],
    [
      'iommu: Adding device 0000:6f:00.0 to group 70',
      undefined,
      undefined,
      'iommu: Adding device 0000:6f:00.0 to group 70',
    ],
    ['', undefined, undefined, ''],
  ])('%s', (text, drv, dev, rest) => {
    const found = messagePrefix(text);
    expect([found.drv, found.dev, found.rest]).toEqual([drv, dev, rest]);
  });
});

describe('group messages', () => {
  test.each<[string, PrintkFact['kind'] | undefined, string?, number?, number?]>([
    ['pci 0000:01:00.1: Removing from iommu group 1', 'group-remove', '0000:01:00.1', 1],
    ['ixgbe 0000:01:00.0: Adding to iommu group 0', 'group-add', '0000:01:00.0', 0],
    ['iommu: Adding device 0000:6f:00.0 to group 70', 'group-add', '0000:6f:00.0', 70],
    ['iommu: Removing device 0000:0b:00.0 from group 19', 'group-remove', '0000:0b:00.0', 19],
    [
      'iommu: Adding device b323e53e-782f-41bb-a7b8-3538d76fc73a to group 0',
      'group-add',
      'b323e53e-782f-41bb-a7b8-3538d76fc73a',
      0,
    ],
    [
      'pci 0000:01:00.0: Failed to add to iommu group 7: -17',
      'group-add-failed',
      '0000:01:00.0',
      7,
      -17,
    ],
    [
      'iommu: Failed to add device 0000:01:00.0 to group 7: -17',
      'group-add-failed',
      '0000:01:00.0',
      7,
      -17,
    ],
    ['Adding to iommu group 3', undefined],
    ['pci 0000:01:00.1: Adding to iommu group', undefined],
    ['pci 0000:01:00.1: Adding to iommu group 99999999999', undefined],
  ])('%s', (text, kind, dev, group, error) => {
    expect(fact(text)).toEqual(
      kind === undefined
        ? undefined
        : error === undefined
          ? { kind, dev, group }
          : { kind, dev, group, error },
    );
  });

  test('a text without its prefix takes the device from the given one', () => {
    expect(printkFact('Adding to iommu group 3', { drv: 'pci', dev: '0000:00:01.0' })).toEqual({
      kind: 'group-add',
      dev: '0000:00:01.0',
      group: 3,
    });
  });
});

const PORT = 'pcieport 0000:00:04.0: pciehp: ';

describe('slot messages', () => {
  test.each<[string, string, string, string?]>([
    [
      'pcieport 0000:00:07.0: pciehp: Slot(0): Card not present',
      '0',
      'CARD_NOT_PRESENT',
      '0000:00:07.0',
    ],
    ['pcieport 0000:00:01.1: pciehp: Slot(0): Link Down', '0', 'LINK_DOWN', '0000:00:01.1'],
    ['pciehp: Slot(3): Card present', '3', 'CARD_PRESENT'],
    ['pciehp 0000:00:1c.0:pcie004: Slot(0-1): Link Up', '0-1', 'LINK_UP', '0000:00:1c.0'],
    ...(
      [
        ['Slot(1): Attention button pressed', 'BUTTON_PRESSED'],
        ['Slot(1): Button press: will power on in 5 sec', 'WILL_POWER_ON'],
        ['Slot(1): Button press: will power off in 5 sec', 'WILL_POWER_OFF'],
        ['Slot(1) Powering on due to button press', 'POWERING_ON'],
        ['Slot(1): Powering off due to button press', 'POWERING_OFF'],
        ['Slot(1): Button cancel', 'BUTTON_CANCEL'],
        ['Slot(1): Action canceled due to button press', 'ACTION_CANCELED'],
        ['Slot(1): No device found', 'NO_DEVICE_FOUND'],
        ['Slot(1): No link', 'NO_LINK'],
        ['Slot(1): Link Down/Up ignored (recovered by DPC)', 'LINK_DOWN_UP_IGNORED'],
        ['Slot(1): Already enabled', 'ALREADY_ENABLED'],
        ['Slot(1): Already disabled', 'ALREADY_DISABLED'],
        ['Slot(1): Ignoring invalid state 0x4', 'INVALID_STATE'],
        ['Slot(1): Failed to check link status', 'FAILED_TO_CHECK_LINK_STATUS'],
        ['Slot(1): Power fault', 'POWER_FAULT'],
        ['Slot(1): Surprise Removal', 'SURPRISE_REMOVAL'],
        ['slot(1): Link Up event', 'LINK_UP'],
        ['slot(1): Link Down event', 'LINK_DOWN'],
        ['Card present on Slot(1)', 'CARD_PRESENT'],
        ['Card not present on Slot(1)', 'CARD_NOT_PRESENT'],
        ['Button pressed on Slot(1)', 'BUTTON_PRESSED'],
        ['Latch open on Slot(1)', 'LATCH_OPEN'],
        ['Link Up event ignored on slot(1): already powering on', 'LINK_UP_IGNORED'],
        ['Link Down event queued on slot(1): currently getting powered on', 'LINK_DOWN_QUEUED'],
        ['PCI slot #1 - powering on due to button press', 'POWERING_ON'],
        ['Slot [1] registered', 'REGISTERED'],
        ['Slot [1] unregistered', 'UNREGISTERED'],
      ] as const
    ).flatMap(([text, event]): [string, string, string, string?][] => [
      [`${PORT}${text}`, '1', event, '0000:00:04.0'],
      [text, '1', event],
    ]),
    [
      `${PORT}Timeout on hotplug command 0x07c0 (issued 2052 msec ago)`,
      '',
      'COMMAND_TIMEOUT',
      '0000:00:04.0',
    ],
    [`${PORT}pending interrupts 0x0001 from Slot Status`, '', 'PENDING_INTERRUPTS', '0000:00:04.0'],
    ['pciehp: Surprise Removal', '', 'SURPRISE_REMOVAL'],
  ])('%s', (text, slot, event, dev) => {
    expect(fact(text)).toEqual({
      kind: 'slot',
      slot,
      event,
      ...(dev === undefined ? {} : { dev }),
    });
  });

  test.each([
    'i2c i2c-0: 4/4 memory slots populated (from DMI)',
    'shpchp 0000:0e:00.0: Slot initialization failed',
    'foo 0000:0e:00.0: Timeout on hotplug command 0x07c0',
    'Slot(): Link Up',
    'Slot(1): ',
    'Slot(1): !!!',
  ])('not a slot event: %s', (text) => expect(fact(text)).toBeUndefined());
});

describe('IOMMU faults', () => {
  test.each<[string, string, number, string]>([
    [
      'DMAR: [DMA Read NO_PASID] Request device [0f:00.0] fault addr 0x900000 [fault reason 0x06] PTE Read access is not set',
      '0000:0f:00.0',
      0x900000,
      'read',
    ],
    [
      'DMAR: [DMA Write PASID 0x1] Request device [0f:00.0] fault addr 0x901000 [fault reason 0x05] x',
      '0000:0f:00.0',
      0x901000,
      'write',
    ],
    [
      'DMAR: [DMA Read] Request device [0f:00.0] PASID ffffffff fault addr 900000 [fault reason 06] PTE Read access is not set',
      '0000:0f:00.0',
      0x900000,
      'read',
    ],
    [
      'DMAR:[DMA Write] Request device [00:02.0] fault addr 9f000 ',
      '0000:00:02.0',
      0x9f000,
      'write',
    ],
    [
      'DMAR: [DMA Write NO_PASID] Request device [0001:0f:00.0] fault addr 0x200000 [fault reason 0x05] x',
      '0001:0f:00.0',
      0x200000,
      'write',
    ],
    [
      'AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 domain=0x000c address=0xff600000 flags=0x0020]',
      '0000:02:00.0',
      0xff600000,
      'write',
    ],
    [
      'AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:02:00.0 domain=0x000c address=0xff600000 flags=0x0000]',
      '0000:02:00.0',
      0xff600000,
      'read',
    ],
    [
      'pci 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c address=0xff600000 flags=0x0020]',
      '0000:02:00.0',
      0xff600000,
      'write',
    ],
    [
      'AMD-Vi 0000:02:00.0: Event logged [IO_PAGE_FAULT domain=0x000c address=0xff600000 flags=0x0008]',
      '0000:02:00.0',
      0xff600000,
      'unknown',
    ],
    [
      'iommu ivhd0: AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:02:00.0 pasid=0x0 address=0x1000]',
      '0000:02:00.0',
      0x1000,
      'unknown',
    ],
  ])('%s', (text, dev, iova, access) => {
    expect(fact(text)).toEqual({ kind: 'iommu-fault', dev, iova, access });
  });

  test.each([
    'DMAR: DRHD: handling fault status reg 2',
    'DMAR: [DMA Read] Request device [zz] fault addr 900000',
    'AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c address=0xff600000 flags=0x0020]',
    'AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 domain=0x000c]',
    'AMD-Vi: Event logged [IO_PAGE_FAULT device=02:00.0 address=::]',
  ])('no fault with a device: %s', (text) => expect(fact(text)).toBeUndefined());
});

test.each<[string, PrintkFact | undefined]>([
  [
    'Linux version 6.12.107+deb13-amd64 (x@y) (gcc) #1 SMP',
    { kind: 'kernel-version', release: '6.12.107+deb13-amd64' },
  ],
  ['Linux version', undefined],
  [
    'WARNING: CPU: 0 PID: 504 at drivers/pci/probe.c:2590 pci_device_add+0x703/0x790',
    { kind: 'complaint', what: 'WARN' },
  ],
  [
    'WARNING: drivers/pci/probe.c:2768 at pci_device_add+0x63a/0x6d0, CPU#1: bash/541',
    { kind: 'complaint', what: 'WARN' },
  ],
  ['WARNING: at fs/inode.c:1 foo()', { kind: 'complaint', what: 'WARN' }],
  [
    'WARNING: possible circular locking dependency detected',
    { kind: 'complaint', what: 'lockdep' },
  ],
  [
    '[ INFO: possible circular locking dependency detected ]',
    { kind: 'complaint', what: 'lockdep' },
  ],
  [
    'WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected',
    { kind: 'complaint', what: 'lockdep' },
  ],
  ['kernel BUG at drivers/vfio/vfio.c:765!', { kind: 'complaint', what: 'BUG' }],
  [
    'BUG: kernel NULL pointer dereference, address: 0000000000000008',
    { kind: 'complaint', what: 'BUG' },
  ],
  ['Oops: Oops: 0000 [#1] SMP NOPTI', { kind: 'complaint', what: 'Oops' }],
  ['Internal error: Oops: 96000004 [#1]', { kind: 'complaint', what: 'Oops' }],
  [
    'general protection fault, probably for non-canonical address 0x4: 0000 [#1]',
    { kind: 'complaint', what: 'Oops' },
  ],
  [
    'INFO: task kworker/0:1:123 blocked for more than 120 seconds.',
    { kind: 'complaint', what: 'hung-task' },
  ],
  ['e1000e 0000:04:00.0: Warning: no configuration for board #63', undefined],
  [
    'AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.',
    undefined,
  ],
  ['vfio-pci 0000:07:00.1: Hardware bug: VF reports bogus INTx pin 1', undefined],
  ['traps: a[1] general protection fault ip:1', undefined],
])('%s', (text, expected) => expect(fact(text)).toEqual(expected));

test.each<[string, number | undefined, boolean]>([
  ['** 1 printk messages dropped **', 1, true],
  ['CCCCCCCC** 1196 printk messages dropped **', 1196, true],
  ['Missed 12 kernel messages', 12, true],
  ['systemd-journald[211]: Missed 7 kernel messages', 7, true],
  ['systemd-journald[211]: /dev/kmsg buffer overrun, some messages lost.', undefined, true],
  ['he Missed 12 kernel messages', undefined, false],
])('loss: %s', (text, count, is) => {
  expect(messageLoss(text) !== undefined).toBe(is);
  expect(messageLoss(text)?.count).toBe(count);
});

test('digits become nanoseconds exactly', () => {
  expect(nanoseconds('12511', '752283')).toBe(12511752283000);
  expect(nanoseconds('0', '000001')).toBe(1000);
  expect(nanoseconds('0', '1')).toBe(100000000);
  fc.assert(
    fc.property(fc.nat(9_000_000), fc.nat(999_999), (s, us) => {
      expect(nanoseconds(String(s), String(us).padStart(6, '0'))).toBe(s * 1e9 + us * 1000);
    }),
  );
});

test('namedDevice', () => {
  expect(namedDevice('+pci:0000:01:00.0')).toBe('0000:01:00.0');
  expect(namedDevice('b8:2')).toBeUndefined();
  expect(namedDevice('+:x')).toBeUndefined();
});

test('a long text is kept to a bound; any text is an event', () => {
  const long = printkEvent({ line: 1, time: 0, text: 'x'.repeat(900_000) });
  expect(long.type === 'printk' && long.text.length < 5000).toBe(true);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      expect(printkEvent({ line: 1, time: NaN, text }).type).toBe('printk');
    }),
  );
});

test.each([
  ['a '.repeat(450_000)],
  ['('.repeat(900_000)],
  [`Slot(${'1'.repeat(900_000)}`],
  [`INFO: task ${'blocked '.repeat(100_000)}`],
  [`x Event logged [IO_PAGE_FAULT ${'device='.repeat(100_000)}`],
  ['** 1'.repeat(200_000)],
  [`WARNING: ${'a:1'.repeat(300_000)}`],
])('hostile text of 900 kB takes no time (%#)', (text) => {
  const start = performance.now();
  for (let i = 0; i < 20; i++) {
    fact(text);
    messageLoss(text);
  }
  expect(performance.now() - start).toBeLessThan(2000);
});
