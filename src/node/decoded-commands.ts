/**
 * Commands that this member has proposed itself, so that they need not be decoded again when their entries are applied.
 *
 * DC1  A command is given for the very bytes that it was decoded from, or not at all: what another leader put in its place is decoded.
 * DC2  What is kept is of the present leadership and bounded by what is admitted: a command goes when its proposal is refused or its
 *      entry is applied, and all of them go when the role changes.
 */
import type { Command } from '../machine/types.ts';
import type { Entry } from '../raft/types.ts';
import type { LogIndex } from '../types/ids.ts';

interface Decoded {
  readonly payload: Uint8Array;
  readonly command: Command;
}

export class DecodedCommands {
  readonly #unplaced = new Map<number, Decoded>();
  readonly #placed = new Map<LogIndex, Decoded>();

  get size(): number {
    return this.#unplaced.size + this.#placed.size;
  }

  proposed(proposalId: number, payload: Uint8Array, command: Command): void {
    this.#unplaced.set(proposalId, { payload, command });
  }

  /** The proposal is in the log at `index`. */
  placed(proposalId: number, index: LogIndex): void {
    const decoded = this.#unplaced.get(proposalId);
    this.#unplaced.delete(proposalId);
    if (decoded !== undefined) this.#placed.set(index, decoded);
  }

  refused(proposalId: number): void {
    this.#unplaced.delete(proposalId);
  }

  /** The entry is being applied: its command, if it is one of these (DC1). */
  take({ index, payload }: Pick<Entry, 'index' | 'payload'>): Command | null {
    const decoded = this.#placed.get(index);
    if (decoded === undefined) return null;
    this.#placed.delete(index);
    return decoded.payload === payload ? decoded.command : null;
  }

  /** All of them: the role has changed, the state was replaced, or the member stops. */
  forget(): void {
    this.#unplaced.clear();
    this.#placed.clear();
  }
}
