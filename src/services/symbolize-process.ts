/**
 * The process that symbolizes a snapshot: `node symbolize-process.js PATH MILLISECONDS`. Prints the result as a line of
 * JSON; exits with a status other than 0 if it fails.
 */
import { symbolizeSnapshot } from './symbolize-snapshot.ts';

const [path = '', timeMs = ''] = process.argv.slice(2);
try {
  process.stdout.write(`${JSON.stringify(symbolizeSnapshot(path, Number(timeMs)))}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
