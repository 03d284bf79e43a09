/**
 * Replicas compare their states while they run (R7): the leader names an index, each member says its state hash after
 * exactly that entry, and the one that differs from what a majority of the voters say stops, and keeps its data for study.
 */
import { majority } from '../raft/quorum.ts';
import type { Configuration } from '../raft/types.ts';
import type { LogIndex, MemberId } from '../types/ids.ts';

/** Indexes that are waited for, and that reports are kept of; older ones give way. */
const INDEXES_MAX = 16;

export type Verdict =
  | { readonly kind: 'equal' }
  /** This member differs from a majority. */
  | { readonly kind: 'odd'; readonly index: LogIndex }
  | { readonly kind: 'other'; readonly index: LogIndex; readonly member: MemberId };

export class StateHashes {
  readonly #self: MemberId;
  /** Asked for and not reached yet. */
  readonly #wanted = new Set<LogIndex>();
  readonly #reports = new Map<LogIndex, Map<MemberId, string>>();

  constructor(self: MemberId) {
    this.#self = self;
  }

  /** True: the hash after `index` is to be taken when it is applied. */
  want(index: LogIndex): void {
    this.#wanted.add(index);
    for (const oldest of this.#wanted) {
      if (this.#wanted.size <= INDEXES_MAX) break;
      this.#wanted.delete(oldest);
    }
  }

  /** Whether the hash after `index`, which was just applied, was asked for. */
  due(index: LogIndex): boolean {
    if (this.#wanted.size === 0) return false;
    const due = this.#wanted.delete(index);
    // Passed without being met: an image took the place of the entry.
    for (const other of this.#wanted) if (other < index) this.#wanted.delete(other);
    return due;
  }

  report(index: LogIndex, member: MemberId, hash: string, configuration: Configuration): Verdict {
    let byMember = this.#reports.get(index);
    if (byMember === undefined) {
      byMember = new Map();
      this.#reports.set(index, byMember);
      for (const oldest of this.#reports.keys()) {
        if (this.#reports.size <= INDEXES_MAX) break;
        this.#reports.delete(oldest);
      }
    }
    byMember.set(member, hash);
    return this.#judge(index, byMember, configuration);
  }

  #judge(index: LogIndex, byMember: ReadonlyMap<MemberId, string>, configuration: Configuration): Verdict {
    const own = byMember.get(this.#self);
    const agreed = agreedHash(configuration, byMember);
    if (own === undefined || agreed === null) return { kind: 'equal' };
    if (own !== agreed) return { kind: 'odd', index };
    for (const [member, hash] of byMember) if (hash !== agreed) return { kind: 'other', index, member };
    return { kind: 'equal' };
  }
}

/** What a majority of both halves of the configuration say: while it changes, its new voters alone could be the odd ones. */
function agreedHash({ voters, votersOutgoing }: Configuration, byMember: ReadonlyMap<MemberId, string>): string | null {
  const agreed = majorityHash(voters, byMember);
  return votersOutgoing.length === 0 || agreed === majorityHash(votersOutgoing, byMember) ? agreed : null;
}

function majorityHash(voters: readonly MemberId[], byMember: ReadonlyMap<MemberId, string>): string | null {
  const counts = new Map<string, number>();
  for (const voter of voters) {
    const hash = byMember.get(voter);
    if (hash !== undefined) counts.set(hash, (counts.get(hash) ?? 0) + 1);
  }
  for (const [hash, count] of counts) if (count >= majority(voters.length)) return hash;
  return null;
}
