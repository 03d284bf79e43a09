/**
 * The configurations of the log: each takes effect when its entry is appended and goes back when it is truncated, on the
 * leader and on followers alike (I4; Raft thesis, section 4.1). Waiting for the commit instead would let two members that
 * learn of it at different times elect two leaders with majorities that have nobody in common (known bug C1).
 */
import { assert, must } from '../types/assert.ts';
import type { LogIndex, MemberId } from '../types/ids.ts';
import { assertConfiguration, isEmpty, isJoint } from './configuration.ts';
import type { Configuration, Entry, PlacedConfiguration, SnapshotMark } from './types.ts';

function sameMembers(left: readonly MemberId[], right: readonly MemberId[]): boolean {
  return left.length === right.length && left.every((id, at) => id === right[at]);
}

/**
 * True when every quorum of `next` has a member in common with every quorum of `previous`. That is so for exactly these steps
 * (thesis, section 4.3): into a joint configuration whose outgoing half is the previous one; out of it, to its
 * incoming half; or a change of learners alone.
 */
export function isSuccessor(previous: Configuration, next: Configuration): boolean {
  if (isJoint(previous)) return !isJoint(next) && sameMembers(previous.voters, next.voters);
  if (isJoint(next)) return sameMembers(previous.voters, next.votersOutgoing);
  return sameMembers(previous.voters, next.voters);
}

export class ConfigurationHistory {
  /** Oldest first; never empty. The first is in force at the base of the log. */
  #placed: PlacedConfiguration[];
  readonly #decode: (payload: Uint8Array) => Configuration;

  /** `decode` throws for a payload that this version cannot read. Throws InvariantError for a list that no log can have. */
  constructor(
    placed: readonly PlacedConfiguration[],
    baseIndex: LogIndex,
    lastIndex: LogIndex,
    decode: (payload: Uint8Array) => Configuration,
  ) {
    this.#decode = decode;
    const first = must(placed[0], 'configuration at the base of the log');
    assertConfiguration(first.configuration);
    assert(first.index <= baseIndex, 'the first configuration is in force at the base of the log');
    this.#placed = [first];
    for (const next of placed.slice(1)) {
      assert(next.index > baseIndex && next.index <= lastIndex, `configuration ${next.index} is inside the log`);
      this.#add(next);
    }
  }

  /** In force: the newest of the log, committed or not. */
  get current(): PlacedConfiguration {
    return must(this.#placed[this.#placed.length - 1], 'configuration');
  }
  /** The one before it, as far as the log reaches back. */
  get previous(): PlacedConfiguration | null {
    return this.#placed[this.#placed.length - 2] ?? null;
  }
  /** In force at the base of the log. */
  get base(): PlacedConfiguration {
    return must(this.#placed[0], 'configuration');
  }

  /** Takes the configurations among entries that were just added to the log. Returns whether there was one. */
  append(entries: readonly Entry[]): boolean {
    let changed = false;
    for (const entry of entries) {
      if (entry.kind !== 'configuration') continue;
      this.#add({ index: entry.index, configuration: this.#decode(entry.payload) });
      changed = true;
    }
    return changed;
  }

  /** The log was cut: `index` and everything after it is gone. */
  truncateFrom(index: LogIndex): void {
    while (this.current.index >= index) {
      assert(this.#placed.length > 1, 'the configuration at the base of the log is never truncated');
      this.#placed.pop();
    }
  }

  /** The log begins after the image of `mark` now, and goes on with entries that it held already. */
  compactToImage(mark: SnapshotMark): void {
    this.compactTo(mark.index);
    // Who was added knows from the image what the cluster was founded with.
    if (isEmpty(this.base.configuration)) this.#placed[0] = mark.configuration;
  }

  /** The log begins after `index` now. */
  compactTo(index: LogIndex): void {
    let drop = 0;
    while ((this.#placed[drop + 1]?.index ?? Number.POSITIVE_INFINITY) <= index) drop++;
    if (drop > 0) this.#placed = this.#placed.slice(drop);
  }

  /** An image replaced the whole log. */
  reset(placed: PlacedConfiguration): void {
    assertConfiguration(placed.configuration);
    this.#placed = [placed];
  }

  #add(next: PlacedConfiguration): void {
    const { current } = this;
    assertConfiguration(next.configuration);
    assert(!isEmpty(next.configuration), 'a configuration in the log has a voter');
    assert(next.index > current.index, 'configurations follow each other');
    // A member that waited to be added does not know what its cluster was founded with.
    const known = !isEmpty(current.configuration);
    if (known) assert(isSuccessor(current.configuration, next.configuration), 'I15: successive quorums intersect');
    this.#placed.push(next);
  }
}
