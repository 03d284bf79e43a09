/**
 * Oracles watch a run from outside and say when a rule is broken. Each is independent of the code it watches: it
 * sees envelopes, calls of the log, bytes on the disk, answers to clients and the public status of members.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { Entry, RaftStatus, SnapshotMark } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import type { Answer, Operation } from '../cluster/operations.ts';
import type { Group } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Tag } from '../cluster/tracked-log.ts';

/** What oracles may know of the run. */
export interface Scene {
  readonly nowUs: number;
  /** All machines there are or were, in order of position. Their logs say who decides. */
  readonly members: readonly SimMember[];
  /** What the first members were told. */
  readonly firstGroup: Group;
  member(id: MemberId): SimMember;
  violate(oracle: string, message: string): void;
}

export interface Oracle {
  readonly id: string;
  /** Something happened to the member; `before` is its status after its previous event, null after a start. */
  afterEvent?(member: SimMember, status: RaftStatus, before: RaftStatus | null): void;
  /** An envelope leaves. */
  send?(from: SimMember, to: MemberId, envelope: Envelope): void;
  /** A member hands entries and hard state to its log, before its tracked log is updated. */
  walAppend?(member: SimMember, append: WalAppend, tags: readonly Tag[]): void;
  /** `hash` is the state hash after the entry. */
  applied?(member: SimMember, entry: Entry, view: MachineView, hash: string): void;
  /** A member answers a client. */
  answered?(member: SimMember, operation: Operation | null, answer: Answer): void;
  /** A member has recovered its log and is about to start. */
  booted?(member: SimMember): void;
  /** The state was replaced by an image that stands after `mark`. */
  restored?(member: SimMember, mark: SnapshotMark, view: MachineView, hash: string): void;
  /** The state that the member found in its store at a start. */
  loaded?(member: SimMember, view: MachineView, hash: string): void;
  /** The log of the member is about to begin after `mark`. */
  walReset?(member: SimMember, mark: SnapshotMark, keepEntries: boolean): void;
  /** All trouble is over and all members have converged. */
  end?(): void;
}
