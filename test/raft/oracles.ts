/**
 * What must hold in a random cluster, whatever happens. Looks at disks, messages and applied entries, never at the core's own
 * reckoning.
 */

import { majority } from '../../src/raft/quorum.ts';
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { Configuration, Effect, Entry, Message } from '../../src/raft/types.ts';
import { assert, must } from '../../src/types/assert.ts';
import { type LogIndex, logIndex, type MemberId } from '../../src/types/ids.ts';
import { decodeConfiguration, type TestMember, textOf } from './cluster.ts';

export class Oracles {
  readonly #members: readonly TestMember[];
  readonly #leaderOfTerm = new Map<number, MemberId>();
  readonly #voteOf = new Map<string, MemberId>();
  readonly #ledger: { term: number; text: string }[] = [];
  readonly #openReads = new Map<number, { member: MemberId; committed: number }>();
  readonly #openProposals = new Set<number>();
  /** What a disk has lost had been there: not the fault of the core. */
  readonly #lost = new Map<MemberId, Entry[]>();
  #countedIndex = 0;
  readsAnswered = 0;
  configurationsCommitted = 0;

  constructor(members: readonly TestMember[]) {
    this.#members = members;
  }

  get committedCommands(): number {
    return this.#ledger.filter(({ text }) => text.startsWith('p')).length;
  }
  get idle(): boolean {
    return this.#openReads.size === 0 && this.#openProposals.size === 0;
  }

  proposed(proposalId: number): void {
    this.#openProposals.add(proposalId);
  }
  readStarted(requestId: number, member: MemberId): void {
    this.#openReads.set(requestId, { member, committed: this.#ledger.length });
  }
  crashed(member: MemberId): void {
    for (const [id, read] of this.#openReads) if (read.member === member) this.#openReads.delete(id);
  }
  losing({ id, disk }: TestMember): void {
    this.#lost.set(id, [...disk.entries]);
  }

  onEffect(member: TestMember, effect: Effect): void {
    switch (effect.kind) {
      case 'commit':
        this.#onCommit(member, effect.index);
        break;
      case 'readLog':
        assert(effect.from <= member.disk.entries.length, 'only durable entries are read back');
        assert(effect.from > member.disk.base, 'what is compacted is not read back');
        break;
      case 'roleChanged':
        if (effect.role === 'leader') this.#onLeader(member, effect.term);
        break;
      case 'proposalAppended':
      case 'proposalRefused':
        assert(this.#openProposals.delete(effect.proposalId), 'a proposal is answered once');
        break;
      case 'readReady': {
        const read = must(this.#openReads.get(effect.requestId), 'a read is answered once');
        assert(effect.index >= read.committed, `LZ: read at ${effect.index}, committed before it ${read.committed}`);
        this.#openReads.delete(effect.requestId);
        this.readsAnswered++;
        break;
      }
      case 'readRefused':
        assert(this.#openReads.delete(effect.requestId), 'a read is answered once');
        break;
      case 'restore':
        // S1: what is applied is never taken back.
        assert(effect.mark.index > member.applied.length, 'MO: an image is newer than the state');
        break;
      case 'configurationChanged':
        if (effect.committed) this.configurationsCommitted++;
        break;
      case 'recoveryImpossible':
        assert(false, 'LV: only one member has lost a part of its log');
        break;
      default:
    }
  }

  /** DG and WV: what leaves is backed by this disk, now; appends come from the term's leader. */
  onSend(member: TestMember, message: Message): void {
    const { hardState, entries, recovering } = member.disk;
    if (message.kind === 'voteResponse' && (message.granted || message.blank === true)) {
      assert(
        hardState.term === message.term && hardState.votedFor === message.to,
        'DG: a vote that is given is durable',
      );
      assert(!(message.granted && recovering), 'CL: no vote before the log is back (known bug D5)');
    }
    if (message.kind === 'preVoteResponse') assert(!(message.granted && recovering), 'CL: no pre-vote without the log');
    if (message.kind === 'voteRequest') {
      assert(hardState.term === message.term && hardState.votedFor === member.id, 'DG: the own vote is durable');
      assert(!recovering, 'CL: no campaign before the log is back (known bug D5)');
      // One that has become a follower meanwhile may have lost entries to the leader of the term; its votes count no more.
      const holds = entries.length >= message.lastLogIndex || member.raft.role !== 'candidate';
      assert(holds, 'DG: the log of a candidate is durable');
    }
    if (message.kind === 'appendResponse' && message.outcome.kind === 'accepted') {
      const { matchIndex } = message.outcome;
      assert(hardState.term >= message.term, 'DG: the term of an acknowledgement is durable');
      assert(entries.length >= matchIndex, 'DG: acknowledged entries are durable');
      for (let index = member.disk.base + 1; index <= matchIndex; index++) {
        const entry = must(entries[index - 1], 'entry');
        // null: an image that covers it has been accepted meanwhile.
        const now = member.raft.termAt(entry.index) ?? entry.term;
        assert(now === entry.term, 'DG: what is durable is what was acknowledged');
      }
    }
    if (message.kind === 'appendRequest') {
      assert(this.#leaderOfTerm.get(message.term) === member.id, 'WV: appends come from the leader of the term');
    }
  }

  /** ES, and leader completeness. */
  #onLeader(member: TestMember, term: number): void {
    assert(!this.#leaderOfTerm.has(term), `ES: ${this.#leaderOfTerm.get(term)} and ${member.id} lead term ${term}`);
    const own = configurationsOf(member).slice(-2);
    assert(
      own.some(({ voters, votersOutgoing }) => [...voters, ...votersOutgoing].includes(member.id)),
      `ES: ${member.id} leads and votes in neither of its last configurations`,
    );
    this.#leaderOfTerm.set(term, member.id);
    const { firstIndex } = member.raft.status();
    for (const [at, entry] of this.#ledger.entries()) {
      const index = (at + 1) as LogIndex;
      const holds = index < firstIndex - 1 || member.raft.termAt(index) === entry.term;
      assert(holds, `CL: the leader of ${term} lacks entry ${index}`);
    }
  }

  /** CL: what is committed stays, and some leader has counted it. */
  #onCommit(member: TestMember, index: number): void {
    assert(member.disk.entries.length >= index, 'I6: what is applied is durable here');
    assert(index <= this.#countedIndex, 'CL: only a leader decides what is committed');
    for (let at = this.#ledger.length + 1; at <= index; at++) {
      const entry = must(member.disk.entries[at - 1], 'committed entry');
      this.#ledger.push({ term: entry.term, text: textOf(entry) });
    }
    for (let at = 0; at < index; at++) {
      const entry = must(member.disk.entries[at], 'committed entry');
      const committed = must(this.#ledger[at], 'ledger');
      assert(entry.term === committed.term && textOf(entry) === committed.text, `CL: entry ${at + 1} changed`);
    }
  }

  /**
   * DG: the moment at which a leader counts something as committed: a majority of each half of the configuration that it has then
   * holds it on disk.
   */
  onTrace(member: TestMember, event: TraceEvent): void {
    if (event.kind !== 'commit' || member.raft.role !== 'leader') return;
    const { index, term } = event;
    const { voters, votersOutgoing } = member.raft.status().configuration;
    for (const half of [voters, votersOutgoing]) {
      const holders = half.filter((id) => this.#holds(id, index, term)).length;
      const enough = half.length === 0 || holders >= majority(half.length);
      assert(enough, `DG: entry ${index} is committed with ${holders} copies among ${half.join(',')}`);
    }
    this.#countedIndex = Math.max(this.#countedIndex, index);
  }

  #holds(id: MemberId, index: LogIndex, term: number): boolean {
    const member = this.#members.find((other) => other.id === id);
    return member?.disk.entries[index - 1]?.term === term || this.#lost.get(id)?.[index - 1]?.term === term;
  }

  /** LM, one durable vote for each term, and applied prefixes of the ledger. */
  checkLogs(): void {
    for (const member of this.#members) {
      const { term, votedFor } = member.disk.hardState;
      if (votedFor !== null) {
        const key = `${member.id}@${term}`;
        assert((this.#voteOf.get(key) ?? votedFor) === votedFor, `ES: ${key} voted twice`);
        this.#voteOf.set(key, votedFor);
      }
      for (const [at, entry] of member.applied.entries()) {
        assert(textOf(entry) === this.#ledger[at]?.text, `AH: ${member.id} applied another entry ${at + 1}`);
      }
    }
    const logs = this.#members.map((member) => member.memoryLog());
    for (const [at, left] of logs.entries()) for (const right of logs.slice(at + 1)) checkMatching(left, right);
  }
}

/** Of the log in memory, oldest first. */
export function configurationsOf(member: TestMember): readonly Configuration[] {
  const inLog = member.memoryLog().filter(({ kind, index }) => kind === 'configuration' && index >= logIndex(1));
  return [member.disk.founders, ...inLog.map((entry) => decodeConfiguration(entry.payload))];
}

/** Raft paper, figure 3: where index and term agree, everything before agrees. */
function checkMatching(left: readonly Entry[], right: readonly Entry[]): void {
  let agree = false;
  for (let at = Math.min(left.length, right.length) - 1; at >= 0; at--) {
    const [mine, theirs] = [must(left[at], 'entry'), must(right[at], 'entry')];
    if (mine.term === theirs.term) agree = true;
    if (agree) assert(mine.term === theirs.term && textOf(mine) === textOf(theirs), `LM: logs differ at ${at + 1}`);
  }
}
