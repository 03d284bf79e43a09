/** A counter by one label for what happens thousands of times a second: it is counted in a map, and told when somebody asks. */
import { Counter, type CounterConfiguration } from 'prom-client';

export class Tally<Label extends string> {
  readonly #label: Label;
  readonly #counts = new Map<string, number>();

  constructor({ label, ...rest }: Pick<CounterConfiguration<Label>, 'name' | 'help' | 'registers'> & { label: Label }) {
    this.#label = label;
    const tell = (counter: Counter<Label>): void => {
      counter.reset();
      for (const [value, count] of this.#counts) {
        counter.inc({ [this.#label]: value } as Record<Label, string>, count);
      }
    };
    new Counter<Label>({
      ...rest,
      labelNames: [label],
      collect() {
        tell(this);
      },
    });
  }

  add(value: string): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
  }
}
