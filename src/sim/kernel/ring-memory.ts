/**
 * The memory behind one event's ring: a shmem file whose pages live in frames, and what the protocol stored about them.
 *
 *   file page ──cache──▶ frame (references, content, dirty) ◀──stored── user_page, data_pages[], aux_pages[]
 *        └──swap──▶ content                                 ◀──SG table── what the hardware writes to
 *
 * A frame that reclaim took has another user from that moment on, and the page comes back in another one: so
 * an access through the old one corrupts foreign memory, and is reported at once. Frames are numbered within the
 * ring, so that what happens to one ring commutes with what happens to another.
 *
 * Invariant: a page is in one frame, in swap, or a hole; its content is the number of stores it has had, wherever it
 * is.
 */
export type Report = (invariant: string, message: string) => void;

interface Frame {
  readonly page: number;
  /** References beyond the page cache's own. */
  references: number;
  content: number;
  dirty: boolean;
  /** Still in the page cache. */
  cached: boolean;
}

/** Pages of a ring: 1 user page, then data pages, then AUX pages. */
export interface RingShape {
  readonly dataPages: number;
  readonly auxPages: number;
  /** The PMU has AUX hardware, whether or not this ring has an AUX area. */
  readonly auxPmu: boolean;
  /** The ring is to be mapped into its task. */
  readonly injected: boolean;
}

export class RingMemory {
  readonly shape: RingShape;
  readonly pages: number;
  readonly #frames: Frame[] = [{ page: -1, references: 0, content: 0, dirty: false, cached: false }];
  readonly #cache: number[];
  readonly #swap: number[];
  readonly #stored: number[];
  /** Stores each page should have had. */
  readonly #expected: number[];
  #sg: number[] | null = null;
  #isSgFreed = false;
  #nextData = 0;
  #nextAux = 0;
  readonly #report: Report;

  constructor(shape: RingShape, report: Report) {
    this.shape = shape;
    this.pages = 1 + shape.dataPages + shape.auxPages;
    this.#cache = Array(this.pages).fill(0);
    this.#swap = Array(this.pages).fill(0);
    this.#stored = Array(this.pages).fill(0);
    this.#expected = Array(this.pages).fill(0);
    this.#report = report;
  }

  /** Takes a reference on the page, bringing it in if it is out: its frame. */
  get(page: number): number {
    let frame = this.#cache[page]!;
    if (frame === 0) {
      frame = this.#frames.length;
      this.#frames.push({ page, references: 0, content: this.#swap[page]!, dirty: false, cached: true });
      this.#cache[page] = frame;
    }
    const { content } = this.#frames[frame]!;
    if (content !== this.#expected[page])
      this.#report('I10', `page ${page} comes back with ${content} of its ${this.#expected[page]} stores`);
    this.#frames[frame]!.references++;
    return frame;
  }

  /** Drops a reference on a frame. */
  put(number: number): void {
    const frame = this.#frames[number]!;
    if (number === 0) this.#report('oops', 'put_page of no page');
    else if (--frame.references < 0) {
      this.#report('I5', `page ${frame.page} is put without a reference: the page cache’s own goes`);
      frame.references = 0;
    } else if (frame.references === 0 && !frame.cached) frame.content = -1;
  }

  dirty(frame: number): void {
    this.#frames[frame]!.dirty = true;
  }

  stored(page: number): number {
    return this.#stored[page]!;
  }

  /** Remembers the frame of a page. */
  store(page: number, frame: number): void {
    this.#stored[page] = frame;
  }

  /** The frame a page is in now; 0: it is out. */
  current(page: number): number {
    return this.#cache[page]!;
  }

  /** References on the page's present frame. */
  references(page: number): number {
    return this.#frames[this.#cache[page]!]!.references;
  }

  /** References on all frames, present and former. */
  get allReferences(): number {
    return this.#frames.reduce((sum, frame) => sum + frame.references, 0);
  }

  /** Referenced frames, present and former: memory that cannot be reclaimed. */
  get pinnedPages(): number {
    return this.#frames.reduce((sum, frame) => sum + (frame.references > 0 ? 1 : 0), 0);
  }

  /**
   * Reclaim: takes the page's frame for another user, its content to swap. False: it is out already, or referenced.
   */
  reclaim(page: number): boolean {
    const frame = this.#frames[this.#cache[page]!]!;
    if (this.#cache[page] === 0 || frame.references > 0) return false;
    if (frame.dirty) this.#swap[page] = frame.content;
    frame.cached = false;
    frame.content = -1;
    this.#cache[page] = 0;
    return true;
  }

  /** shmem_truncate_range of everything. */
  truncate(): void {
    for (let page = 0; page < this.pages; page++) {
      const frame = this.#frames[this.#cache[page]!]!;
      frame.cached = false;
      this.#cache[page] = 0;
      this.#swap[page] = 0;
      this.#expected[page] = 0;
    }
  }

  /** Stores that the page has had. */
  stores(page: number): number {
    return this.#expected[page]!;
  }

  get hasSg(): boolean {
    return this.#sg !== null;
  }

  freeSg(): void {
    this.#sg = null;
    this.#isSgFreed = false;
  }

  /** The table's memory goes; pointers to it stay. */
  releaseSg(): void {
    this.#isSgFreed = this.#sg !== null;
  }

  /** The SG table, from the stored AUX pages. */
  buildSg(): void {
    this.#sg = this.#stored.slice(1 + this.shape.dataPages);
    this.#isSgFreed = false;
  }

  /** A store by the kernel, through the stored frame of the page (I2). */
  write(page: number): void {
    this.#write(page, this.#stored[page]!, 'I2', 'a store');
  }

  /** The next record of a software writer, into the data pages below page `extent`. */
  writeData(extent: number): void {
    this.write(1 + (this.#nextData++ % Math.max(1, Math.min(this.shape.dataPages, extent - 1))));
  }

  /** What the hardware does while it is on: writes to the next page of its table (I1). */
  writeAux(): void {
    if (this.#sg === null) {
      this.#report('I1', 'the hardware is on without an SG table');
      return;
    }
    const index = this.#nextAux++ % this.shape.auxPages;
    this.#write(1 + this.shape.dataPages + index, this.#sg[index]!, 'I1', 'the hardware');
  }

  /** What is wrong with the pages the hardware may write to now (I1); undefined: nothing. */
  get staleSg(): string | undefined {
    if (this.#sg === null) return 'it has no SG table';
    if (this.#isSgFreed) return 'its table was freed';
    for (const [index, number] of this.#sg.entries()) {
      const page = 1 + this.shape.dataPages + index;
      if (number === 0 || number !== this.#cache[page]) return `its table names a frame that page ${page} has left`;
      if (this.#frames[number]!.references <= 0) return `its table names page ${page}, which is unreferenced`;
    }
    return undefined;
  }

  /** The first page that is not stored and held: what a start must not find (I6); -1: none. */
  get firstMissingPage(): number {
    return this.#stored.findIndex((frame) => frame === 0 || this.#frames[frame]!.references <= 0);
  }

  /** Contents and positions. */
  fingerprint(): string {
    const frames = this.#frames.map(({ content, dirty }) => `${content}${+dirty}`);
    return `${frames.join()}/${this.#swap.join()}/${this.#expected.join()}/${this.#nextData},${this.#nextAux}${+this.#isSgFreed}`;
  }

  /** One line: per page its frame and references, `-` where it is out; the SG table. */
  describe(): string {
    const pages = this.#cache.map((frame, page) => {
      const at = frame === 0 ? '-' : `f${frame}x${this.#frames[frame]!.references}`;
      return this.#stored[page] === frame ? at : `${at}(stored f${this.#stored[page]})`;
    });
    const stray = this.#frames.filter((frame) => !frame.cached && frame.references > 0).length;
    const sg = this.shape.auxPages === 0 ? '' : ` sg ${this.#sg === null ? 'none' : `[${this.#sg.join(' ')}]`}`;
    return `${pages.join(' ')}${stray > 0 ? ` +${stray} lost frames held` : ''}${sg}`;
  }

  #write(page: number, number: number, invariant: string, access: string): void {
    const frame = this.#frames[number]!;
    if (number === 0) this.#report(invariant, `${access} goes to page ${page}, for which no frame is stored`);
    else if (this.#cache[page] !== number)
      this.#report(invariant, `${access} for page ${page} goes to a frame that has another user now`);
    else if (frame.references <= 0) this.#report(invariant, `${access} goes to page ${page}, which is unreferenced`);
    this.#expected[page]!++;
    if (number !== 0 && this.#cache[page] === number) {
      frame.content++;
      // A store through the kernel's own mapping sets no dirty bit: the code that pinned the page has to.
    }
  }
}
