/** Symbols of native code as short names. The same few recur, so each is demangled once. */
import { demangled } from './demangler.ts';
import { withoutParameters } from './short-name.ts';

export class NativeSymbols {
  readonly #shortNames = new Map<string, string>();

  /** The symbol as in the source, without parameters. */
  nameOf(symbol: string): string {
    const known = this.#shortNames.get(symbol);
    if (known !== undefined) return known;
    const name = withoutParameters(demangled(symbol));
    this.#shortNames.set(symbol, name);
    return name;
  }
}
