import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { demangled } from './demangler.ts';
import { withoutParameters } from './short-name.ts';

describe('a mangled name', () => {
  test.each([
    ['_ZN4deep1W4spinIlEET_S2_', 'deep::W::spin<long>(long)', 'deep::W::spin<long>'],
    ['_ZN4deep1W4spinIlEET_S2_.isra.0', 'deep::W::spin<long>(long) [clone .isra.0]', 'deep::W::spin<long>'],
    ['_ZNK3foo3barEv', 'foo::bar() const', 'foo::bar'],
    ['_Znwm', 'operator new(unsigned long)', 'operator new'],
    ['_ZN12_GLOBAL__N_14turnEl', '(anonymous namespace)::turn(long)', '(anonymous namespace)::turn'],
    ['_ZNK1AclEi', 'A::operator()(int) const', 'A::operator()'],
    ['_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE', 'core::fmt::Write::write_fmt', 'core::fmt::Write::write_fmt'],
    ['_RNvCs1234_7mycrate3foo', 'mycrate::foo', 'mycrate::foo'],
  ])('%s is shown as it was written', (symbol, whole, short) => {
    expect(demangled(symbol)).toBe(whole);
    expect(withoutParameters(demangled(symbol))).toBe(short);
  });

  test.each(['main', '__libc_start_call_main', '_Zebra', '_R', '_Z', '', '_ZN3foo'])(
    '%s stays as it is, for it is none, or no whole one',
    (symbol) => {
      expect(withoutParameters(demangled(symbol))).toBe(symbol);
    },
  );

  test('never throws, whatever it contains', () => {
    const symbol = fc
      .tuple(fc.constantFrom('_Z', '_ZN', '_R', ''), fc.string({ maxLength: 80 }))
      .map((parts) => parts.join(''));
    fc.assert(fc.property(symbol, (text) => withoutParameters(demangled(text)).length <= demangled(text).length));
  });
});
