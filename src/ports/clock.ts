/** Time, handed in (R5): the real clock in a member, a simulated one in tests. */
export interface Clock {
  /** Wall time, milliseconds since the Unix epoch. May jump; only ever used to stamp entries. */
  wallMs(): number;
  /** Monotonic time in milliseconds from an arbitrary origin. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`; returns a function that cancels it (idempotent). */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls `callback` in a later turn, after input that has already arrived was handled. Used to form batches. */
  defer(callback: () => void): void;
}
