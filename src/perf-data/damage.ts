/** What could not be read of a capture. Damage is data: it is listed, never thrown, and the rest is still read. */

export interface Damage {
  /** Offset in the file where it begins. */
  offset: number;
  /** Bytes skipped because of it; may be 0. */
  bytes: number;
  reason: string;
}

/** Beyond this many entries the list only notes that there is more: a file of noise must not fill memory. */
export const MAX_DAMAGE_ENTRIES = 1000;

export class DamageList {
  readonly entries: Damage[] = [];

  add(offset: number, bytes: number, reason: string): void {
    if (this.entries.length < MAX_DAMAGE_ENTRIES) this.entries.push({ offset, bytes, reason });
    else if (this.entries.length === MAX_DAMAGE_ENTRIES)
      this.entries.push({ offset, bytes: 0, reason: 'there is more damage from here on, not listed' });
  }
}
