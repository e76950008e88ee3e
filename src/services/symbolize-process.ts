/**
 * The process that symbolizes snapshots.
 *
 *   node symbolize-process.js PATH MILLISECONDS           prints the result as a line of JSON
 *   node symbolize-process.js --behind MILLISECONDS REST   those that a recorder left (SymbolizeRest as JSON)
 *
 * It exits with a status other than 0 if it fails.
 * Invariant: it imports nothing statically, so that SIGUSR1 is taken from Node first, as in the command line.
 */
process.on('SIGUSR1', () => {});

const [path = '', timeMs = '', rest = ''] = process.argv.slice(2);
try {
  const { takeFirst } = await import('../linux/oom-score.ts');
  takeFirst();
  const { symbolizeSnapshot } = await import('./symbolize-snapshot.ts');
  if (path === '--behind') {
    const { paths, maps } = JSON.parse(rest) as import('./symbolize-job.ts').SymbolizeRest;
    const areComplete = paths.map((each) => symbolizeSnapshot(each, Number(timeMs)).isComplete);
    // Snapshots without symbols still need the maps.
    if (areComplete.every(Boolean)) (await import('./jit-maps.ts')).clearMaps(maps);
  } else process.stdout.write(`${JSON.stringify(symbolizeSnapshot(path, Number(timeMs)))}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

export {};
