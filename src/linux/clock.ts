/** The clock that intervals are measured by. */

/** Milliseconds on CLOCK_MONOTONIC. The global `performance` would do, but the first look at it loads a dozen modules. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
