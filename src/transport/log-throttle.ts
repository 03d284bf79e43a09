/** A peer that is away for a day must not fill the log: one line for each subject and interval, with a count of the rest. */
export class LogThrottle {
  readonly #intervalMs: number;
  readonly #subjects = new Map<string, { lastMs: number; suppressed: number }>();

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** How many lines about `subject` were held back since the last one, if one is due now; otherwise null. */
  due(subject: string, nowMs: number): number | null {
    const known = this.#subjects.get(subject);
    if (known === undefined) {
      this.#forgetOldest();
      this.#subjects.set(subject, { lastMs: nowMs, suppressed: 0 });
      return 0;
    }
    if (nowMs - known.lastMs < this.#intervalMs) {
      known.suppressed += 1;
      return null;
    }
    const { suppressed } = known;
    known.lastMs = nowMs;
    known.suppressed = 0;
    return suppressed;
  }

  /** Subjects may hold text that a stranger chose (a refused member id), so there is a bound on them too. */
  #forgetOldest(): void {
    if (this.#subjects.size < SUBJECTS_MAX) return;
    for (const subject of this.#subjects.keys()) {
      this.#subjects.delete(subject);
      return;
    }
  }
}

const SUBJECTS_MAX = 256;
