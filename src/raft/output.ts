/**
 * Gathers what one step gives back. A step has at most one persist effect: hard state and entries that changed
 * together become durable together (known bug E2), and what must not leave before that hangs off it (I1). A step that takes
 * over an image has a restore effect behind it, and nothing to append.
 */
import { assert } from '../types/assert.ts';
import type { Durability } from './durability.ts';
import type { Effect, Entry, HardState, Message, SnapshotMark } from './types.ts';

export class Output {
  #effects: Effect[] = [];
  #hardStateChanged = false;
  #entries: readonly Entry[] = [];
  #afterDurable: Message[] = [];
  #restore: { readonly mark: SnapshotMark; readonly keepEntries: boolean } | null = null;

  /** May leave at once. */
  send(message: Message): void {
    this.#effects.push({ kind: 'send', message });
  }

  /** Leaves when everything that this member has ever handed out for persistence, this step included, is durable. */
  sendDurable(message: Message): void {
    this.#afterDurable.push(message);
  }

  effect(effect: Exclude<Effect, { kind: 'persist' | 'restore' | 'send' }>): void {
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

  /** The image of `mark` becomes the state; the log begins after it. */
  restore(mark: SnapshotMark, keepEntries: boolean): void {
    assert(this.#entries.length === 0 && this.#restore === null, 'an image alone in a step');
    this.#restore = { mark, keepEntries };
  }

  /** Ends the step: the effects in the order in which they are to be handled. */
  take(hardState: HardState, durability: Durability, lastIndex: Entry['index'], first: Effect | null): Effect[] {
    const effects: Effect[] = first === null ? [] : [first];
    const dirty = this.#hardStateChanged || this.#entries.length > 0;
    const restore = this.#restore;
    const waits = this.#afterDurable.length > 0 && !durability.idle;
    for (const message of this.#afterDurable) assert(message.term === hardState.term, 'I3: sent in its own term');
    if (dirty || (waits && restore === null)) {
      effects.push({
        kind: 'persist',
        sequence: durability.begin(restore === null ? lastIndex : durability.durableIndex),
        hardState: this.#hardStateChanged ? hardState : null,
        entries: this.#entries,
        afterDurable: restore === null ? this.#afterDurable : [],
      });
    }
    if (restore !== null) {
      const { mark, keepEntries } = restore;
      const sequence = durability.begin(lastIndex);
      effects.push({ kind: 'restore', sequence, mark, keepEntries, afterDurable: this.#afterDurable });
    } else if (!dirty && !waits) {
      // Nothing is on its way to the disk: what the message claims is durable already.
      for (const message of this.#afterDurable) effects.push({ kind: 'send', message });
    }
    const all = effects.length === 0 ? this.#effects : effects.concat(this.#effects);
    this.#effects = [];
    this.#hardStateChanged = false;
    this.#entries = [];
    this.#afterDurable = [];
    this.#restore = null;
    return all;
  }
}
