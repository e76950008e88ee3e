/**
 * The process that symbolizes a snapshot: `node symbolize-process.js PATH MILLISECONDS`. Prints the result as a line of
 * JSON; exits with a status other than 0 if it fails.
 * Invariant: it imports nothing statically, so that SIGUSR1 is taken from Node first, as in the command line.
 */
process.on('SIGUSR1', () => {});

const [path = '', timeMs = ''] = process.argv.slice(2);
try {
  const { symbolizeSnapshot } = await import('./symbolize-snapshot.ts');
  process.stdout.write(`${JSON.stringify(symbolizeSnapshot(path, Number(timeMs)))}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

export {};
