import { describe, expect, it } from 'vitest';
import { decodeRecord } from '../abi/record.ts';
import { kernelMapRecords, kernelModulesOf, kernelTextOf } from './kernel-maps.ts';
import { CPU_CLOCK } from './testing/synthetic.ts';

const KALLSYMS = `ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000040 t early_setup
ffffffff8220bb08 T _etext
ffffffffc0000000 t _text\t[some_module]
`;
const TEXT = { referenceSymbol: '_text', start: 0xffffffff81000000n, end: 0xffffffff8220bb08n } as const;

describe('the kernel text of a kallsyms listing', () => {
  it('reaches from _text to _etext, wherever the listing is cut into pieces', () => {
    for (let cut = 0; cut <= KALLSYMS.length; cut++)
      expect(kernelTextOf([KALLSYMS.slice(0, cut), KALLSYMS.slice(cut)])).toEqual(TEXT);
  });

  it('reaches to _edata where that is listed, and begins at _stext without _text', () => {
    expect(kernelTextOf([`${KALLSYMS}ffffffff83000000 D _edata\n`])?.end).toBe(0xffffffff83000000n);
    expect(kernelTextOf([KALLSYMS.replace(' T _text', ' T text')])).toEqual({ ...TEXT, referenceSymbol: '_stext' });
  });

  it('is undefined where the kernel hides its addresses', () => {
    expect(kernelTextOf([KALLSYMS.replaceAll(/^[0-9a-f]+/gm, '0000000000000000')])).toBeUndefined();
    expect(kernelTextOf([])).toBeUndefined();
  });
});

describe('the kernel modules', () => {
  const listing = `nf_tables 372736 3 nft_ct,nft_chain_nat, Live 0xffffffffc0a00000
ext4 1134592 1 - Live 0xffffffffc0b00000 (OE)
hidden 4096 0 - Live 0x0000000000000000
`;
  const dependencies = `kernel/net/netfilter/nf-tables.ko.xz: kernel/lib/crc.ko.xz
kernel/lib/crc.ko.xz:
`;

  it('have the file that modules.dep names, or their own name in brackets', () => {
    expect(kernelModulesOf(listing, '/lib/modules/6.1', dependencies)).toEqual([
      {
        name: 'nf_tables',
        start: 0xffffffffc0a00000n,
        bytes: 372736n,
        fileName: '/lib/modules/6.1/kernel/net/netfilter/nf-tables.ko.xz',
      },
      { name: 'ext4', start: 0xffffffffc0b00000n, bytes: 1134592n, fileName: '[ext4]' },
    ]);
  });

  it('become kernel MMAP records of pid -1 at time 0', () => {
    const modules = kernelModulesOf(listing, '/lib/modules/6.1', '');
    const records = kernelMapRecords(TEXT, modules, CPU_CLOCK.attr).map((bytes) =>
      decodeRecord(new DataView(bytes.buffer), 0, CPU_CLOCK.attr),
    );
    expect(records.map((record) => record.name === 'MMAP' && record.body.filename)).toEqual([
      '[kernel.kallsyms]_text',
      '[nf_tables]',
      '[ext4]',
    ]);
    expect(records[0]).toMatchObject({
      misc: 1,
      id: { time: 0n },
      body: { pid: 0xffffffff, tid: 0, addr: TEXT.start, len: TEXT.end - TEXT.start, pgoff: TEXT.start },
    });
  });
});
