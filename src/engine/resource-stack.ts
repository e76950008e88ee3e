/**
 * What a recorder has opened, to be closed in the reverse order.
 * Invariant: `close` closes each part once, also after one of them has failed to close.
 */

export interface Closable {
  close(): void;
}

export class ResourceStack {
  readonly #parts: Closable[] = [];

  push(part: Closable): void {
    this.#parts.push(part);
  }

  close(): void {
    for (let part = this.#parts.pop(); part; part = this.#parts.pop()) {
      try {
        part.close();
      } catch {
        // After a failure a part may be half-open; the others are closed all the same.
      }
    }
  }
}
