/**
 * Gathers what one step gives back. A step has at most one persist effect: hard state and entries that changed
 * together become durable together (known bug E2), and what must not leave before that hangs off it (I1).
 */
import { assert } from '../types/assert.ts';
import type { Durability } from './durability.ts';
import type { Effect, Entry, HardState, Message } from './types.ts';

export class Output {
  #effects: Effect[] = [];
  #hardStateChanged = false;
  #entries: readonly Entry[] = [];
  #afterDurable: Message[] = [];

  /** May leave at once. */
  send(message: Message): void {
    this.#effects.push({ kind: 'send', message });
  }

  /** Leaves when everything that this member has ever handed out for persistence, this step included, is durable. */
  sendDurable(message: Message): void {
    this.#afterDurable.push(message);
  }

  effect(effect: Exclude<Effect, { kind: 'persist' | 'send' }>): void {
    this.#effects.push(effect);
  }

  hardStateChanged(): void {
    this.#hardStateChanged = true;
  }

  /** `entries` were added to the log; the first one replaces what the log held from there on. */
  appended(entries: readonly Entry[]): void {
    assert(this.#entries.length === 0, 'one append in a step');
    this.#entries = entries;
  }

  /** Ends the step: the effects in the order in which they are to be handled. */
  take(hardState: HardState, durability: Durability, lastIndex: Entry['index'], first: Effect | null): Effect[] {
    const effects: Effect[] = first === null ? [] : [first];
    const dirty = this.#hardStateChanged || this.#entries.length > 0;
    if (dirty || (this.#afterDurable.length > 0 && !durability.idle)) {
      for (const message of this.#afterDurable) assert(message.term === hardState.term, 'I3: sent in its own term');
      const sequence = durability.begin(lastIndex);
      effects.push({
        kind: 'persist',
        sequence,
        hardState: this.#hardStateChanged ? hardState : null,
        entries: this.#entries,
        afterDurable: this.#afterDurable,
      });
    } else {
      // Nothing is on its way to the disk: what the message claims is durable already.
      for (const message of this.#afterDurable) effects.push({ kind: 'send', message });
    }
    const all = effects.length === 0 ? this.#effects : effects.concat(this.#effects);
    this.#effects = [];
    this.#hardStateChanged = false;
    this.#entries = [];
    this.#afterDurable = [];
    return all;
  }
}
