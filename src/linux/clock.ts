/** The clock for intervals. */

/** Milliseconds on CLOCK_MONOTONIC. First use of the global `performance` would load a dozen modules. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
