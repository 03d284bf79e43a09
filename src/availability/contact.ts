/**
 * For how long the leader has not heard of each member (A3). Only time in which the leader itself was awake counts: after a pause of
 * its own process everybody would look silent.
 */
import type { RaftStatus } from '../raft/types.ts';
import type { MemberId } from '../types/ids.ts';

/** Longest time between two looks that counts, milliseconds: more is a pause of this process. */
export const AWAKE_GAP_MS = 1_000;

export class ContactWatch {
  readonly #silentMs = new Map<MemberId, number>();
  #lookedMs: number | null = null;

  /** With each tick. `active` of a peer: heard from within the last election timeout. */
  observe({ peers }: Pick<RaftStatus, 'peers'>, nowMs: number): void {
    const elapsed = this.#lookedMs === null ? 0 : nowMs - this.#lookedMs;
    const counted = elapsed > AWAKE_GAP_MS ? 0 : elapsed;
    this.#lookedMs = nowMs;
    const known = new Set(peers.map(({ id }) => id));
    for (const member of [...this.#silentMs.keys()]) if (!known.has(member)) this.#silentMs.delete(member);
    for (const { id, active } of peers) this.#silentMs.set(id, active ? 0 : (this.#silentMs.get(id) ?? 0) + counted);
  }

  /** Milliseconds; 0: it is heard of, or nobody looked yet. */
  silentMs(member: MemberId): number {
    return this.#silentMs.get(member) ?? 0;
  }
}
