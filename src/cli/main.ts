#!/usr/bin/env node
/**
 * The entry point: takes SIGUSR1 from Node before anything else is loaded, then runs the command line.
 * Invariant: it imports nothing statically, since imports are evaluated before the first statement.
 */

// Without a handler SIGUSR1 makes Node open its inspector: every local user could then run code in this process.
process.on('SIGUSR1', () => {});

await import('./command-line.ts');
