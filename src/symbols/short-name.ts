/**
 * A demangled name for a stack: without parameter types and compiler suffixes, as perf prints it. Pure.
 *
 *     deep::W::spin<long>(long) const [clone .isra.0]   →   deep::W::spin<long>
 */

/** What may follow the parameters: qualifiers of a member function, and clone suffixes. */
const BEHIND_PARAMETERS = /(?:\s*(?:const|volatile|&&?|\[clone [^\]]*\]))*$/;

/** `name` without its parameters; unchanged without any. */
export function withoutParameters(name: string): string {
  const text = name.slice(0, BEHIND_PARAMETERS.exec(name)!.index);
  if (!text.endsWith(')')) return text === '' ? name : text;
  let depth = 0;
  for (let at = text.length - 1; at > 0; at--) {
    if (text[at] === ')') depth++;
    else if (text[at] === '(' && --depth === 0) return keepsMeaning(text.slice(0, at)) ? text.slice(0, at) : text;
  }
  return text;
}

/** A cut must not leave half a name: `operator()` is one, and `(anonymous namespace)` may stand alone. */
function keepsMeaning(text: string): boolean {
  return text !== '' && !/(?:\boperator|::|\s)$/.test(text);
}
