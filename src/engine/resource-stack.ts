/** What has begun is closed again, the latest first, whatever state a failure left it in. */

export interface Begun {
  close(): void;
}

export function closeAll(begun: readonly Begun[]): void {
  for (const part of begun) {
    try {
      part.close();
    } catch {
      // After a failure anything may be half-closed; the rest is to be closed all the same.
    }
  }
}
