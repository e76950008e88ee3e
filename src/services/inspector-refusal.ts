/**
 * Arguments with which a Node process that we start opens no inspector on SIGUSR1, not even before its first statement.
 * TEST-NET-1 (RFC 5737) is the address of no machine: where Node has no --disable-sigusr1 (before 22.14), it cannot
 * listen there.
 */
const OPTION = '--disable-sigusr1';

export const INSPECTOR_REFUSAL: readonly string[] = [
  process.allowedNodeEnvironmentFlags.has(OPTION) ? OPTION : '--inspect-port=192.0.2.1:9229',
];
