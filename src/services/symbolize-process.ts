/**
 * The process that adds names to a snapshot: `node names-process.js PATH MILLISECONDS`. It tells what came of it as a line of JSON,
 * and ends with a status other than 0 where nothing did.
 */
import { addNames } from './symbolize-snapshot.ts';

const [path = '', timeMs = ''] = process.argv.slice(2);
try {
  process.stdout.write(`${JSON.stringify(addNames(path, Number(timeMs)))}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
