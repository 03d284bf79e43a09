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
  | { readonly kind: 'odd'; readonly index: LogIndex; readonly hash: string; readonly majorityHash: string }
  /** `member` differs from a majority, which this one belongs to. Said once for each report of it. */
  | {
      readonly kind: 'other';
      readonly index: LogIndex;
      readonly member: MemberId;
      readonly hash: string;
      readonly majorityHash: string;
    };

/** What members said of one index. */
interface Reports {
  readonly byMember: Map<MemberId, string>;
  /** Those of them that differ, and of whom that was said. */
  readonly told: Set<MemberId>;
}

export class StateHashes {
  readonly #self: MemberId;
  /** Asked for and not reached yet. */
  readonly #wanted = new Set<LogIndex>();
  readonly #reports = new Map<LogIndex, Reports>();

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

  /** The same index may be reported again and again: in an idle cluster there is no other. What a member said last counts. */
  report(index: LogIndex, member: MemberId, hash: string, configuration: Configuration): Verdict {
    let reports = this.#reports.get(index);
    if (reports === undefined) {
      reports = { byMember: new Map(), told: new Set() };
      this.#reports.set(index, reports);
      for (const oldest of this.#reports.keys()) {
        if (this.#reports.size <= INDEXES_MAX) break;
        this.#reports.delete(oldest);
      }
    }
    reports.byMember.set(member, hash);
    reports.told.delete(member);
    return this.#judge(index, reports, configuration);
  }

  #judge(index: LogIndex, { byMember, told }: Reports, configuration: Configuration): Verdict {
    const own = byMember.get(this.#self);
    const agreed = agreedHash(configuration, byMember);
    if (own === undefined || agreed === null) return { kind: 'equal' };
    if (own !== agreed) return { kind: 'odd', index, hash: own, majorityHash: agreed };
    for (const [member, hash] of byMember) {
      if (hash === agreed || told.has(member)) continue;
      told.add(member);
      return { kind: 'other', index, member, hash, majorityHash: agreed };
    }
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
