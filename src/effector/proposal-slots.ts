/**
 * How many proposals may be under way. Whoever finds none free waits for its turn: first come, first served, those first that finish what
 * was begun. A thousand recoveries at once must not stand in the log's queue before everybody else's writes.
 */
export class ProposalSlots {
  readonly #first: (() => void)[] = [];
  readonly #others: (() => void)[] = [];
  #free: number;

  constructor(max: number) {
    this.#free = max;
  }

  /** Resolves when it is the caller's turn, with what gives the slot back; to be called once. `first`: before all that are not. */
  async take(first: boolean): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    // The slot is handed over by whoever gives it back.
    else await new Promise<void>((resolve) => (first ? this.#first : this.#others).push(resolve));
    return () => {
      const next = this.#first.shift() ?? this.#others.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }
}
