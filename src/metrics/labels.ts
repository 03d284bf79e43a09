/** Labels whose values come from users are bounded: a metric with endless series takes the monitoring down with it. */

/** Values of one such label; what comes after them is counted under OTHER. */
export const LABEL_VALUES_MAX = 64;
export const OTHER = 'other';

export class BoundedLabel {
  readonly #known = new Set<string>();

  /** `value` while there is room for it, then OTHER. What was given once stays. */
  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= LABEL_VALUES_MAX) return OTHER;
    this.#known.add(value);
    return value;
  }
}
