/** The consensus core of one member in one stream: a function of state and input to effects (R1, R5). See README.md. */
import type { Random } from '../ports/random.ts';
import { unreachable } from '../types/assert.ts';
import { type LogIndex, logIndex, type MemberId, type Term } from '../types/ids.ts';
import { isVoter } from './configuration.ts';
import * as inputs from './inputs.ts';
import { InvariantChecker } from './invariants.ts';
import type { Progress } from './progress.ts';
import { quorumIndex } from './quorum.ts';
import { readLocal } from './reads.ts';
import { receive } from './receive.ts';
import { changeConfiguration } from './reconfigure.ts';
import { endRecovery } from './recovery.ts';
import { compacted, installSnapshot, snapshotEnded } from './snapshot.ts';
import { createState, leaderOf, type State } from './state.ts';
import { type TraceEvent, traceEffects } from './trace.ts';
import { startTransfer } from './transfer.ts';
import type { Effect, Entry, Input, PeerStatus, PlacedConfiguration, RaftOptions, RaftStatus, Role } from './types.ts';

export class Raft {
  readonly #state: State;
  readonly #invariants: InvariantChecker;
  #reportedRole: Role = 'follower';
  #reportedTerm: Term;
  #reportedLeader: MemberId | null = null;
  #reportedConfiguration: PlacedConfiguration;
  #reportedCommitted: boolean;

  /** Starts as a follower with what was durable. Throws InvariantError when the options contradict each other. */
  constructor(options: RaftOptions, random: Random, trace?: (event: TraceEvent) => void) {
    this.#state = createState(options, random, trace ?? null);
    this.#reportedTerm = this.#state.term;
    this.#reportedConfiguration = this.#state.membership.current;
    this.#reportedCommitted = this.#reportedConfiguration.index <= this.#state.commitIndex;
    this.#invariants = new InvariantChecker(this.#state);
    const { hardState, log, appliedIndex, configurations, recovering } = options;
    trace?.({ kind: 'start', hardState, log, appliedIndex, configurations, recovering });
  }

  /**
   * Takes one input and returns what is to be done, in order. Throws InvariantError when an invariant is broken: the
   * object must not be used after that, and nothing of the step may be carried out.
   */
  step(input: Input): readonly Effect[] {
    this.#handle(input);
    const state = this.#state;
    this.#releaseCommit();
    endRecovery(state);
    this.#configurationChange();
    const { term, votedFor } = state;
    const effects = state.output.take({ term, votedFor }, state.durability, state.log.lastIndex, this.#roleChange());
    // The restore effect is the last one that was counted.
    if (state.restoring?.sequence === 0) state.restoring.sequence = state.durability.nextSequence - 1;
    this.#invariants.check(state);
    if (state.trace !== null) traceEffects(state.trace, effects);
    return effects;
  }

  get term(): Term {
    return this.#state.term;
  }
  get leader(): MemberId | null {
    return leaderOf(this.#state);
  }
  get role(): Role {
    return this.#state.role.kind;
  }
  get commitIndex(): LogIndex {
    return this.#state.commitIndex;
  }
  /** More is committed than this member has: what it holds is history, and need not be how things are. */
  get catchingUp(): boolean {
    return this.#state.knownCommitIndex > this.#state.commitIndex;
  }
  /**
   * Tick, counted from the start, at which this member was last in contact with a majority: a leader was heard, or, as leader, a
   * majority answered it. null: it is in no configuration. For the partition watch (D5).
   */
  get contactTick(): number | null {
    const { id, tick, heardTick, role, configuration } = this.#state;
    if (!isVoter(configuration, id) && !configuration.learners.includes(id)) return null;
    if (role.kind !== 'leader') return heardTick;
    return quorumIndex(configuration, (peer) => (peer === id ? tick : (role.peerById.get(peer)?.heardTick ?? 0)));
  }
  /** First entry that the log holds, and the last one. */
  get firstIndex(): LogIndex {
    return this.#state.log.firstIndex;
  }
  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }
  /** Last entry that is durable here. */
  get durableIndex(): LogIndex {
    return this.#state.durability.durableIndex;
  }
  /** The configuration in force. */
  get configuration(): PlacedConfiguration {
    return this.#state.membership.current;
  }

  /** Term of the entry at `index`; null when the log does not hold it. */
  termAt(index: LogIndex): Term | null {
    return this.#state.log.termAt(index);
  }

  /**
   * Entries of [from, to], fewer when `bytesMax` payload bytes are reached, but at least one. null when the first is
   * not in memory (any more, or not since the restart): read it from the log.
   */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] | null {
    return this.#state.log.slice(from, to, Number.MAX_SAFE_INTEGER, bytesMax);
  }

  status(): RaftStatus {
    const state = this.#state;
    return {
      id: state.id,
      role: state.role.kind,
      term: state.term,
      votedFor: state.votedFor,
      leader: leaderOf(state),
      lastIndex: state.log.lastIndex,
      lastTerm: state.log.lastTerm,
      durableIndex: state.durability.durableIndex,
      commitIndex: state.commitIndex,
      appliedIndex: state.appliedIndex,
      configuration: state.configuration,
      configurationIndex: state.membership.current.index,
      firstIndex: state.log.firstIndex,
      recovering: state.recovery !== null,
      peers: state.role.kind === 'leader' ? state.role.peers.map((progress) => peerStatus(state, progress)) : [],
    };
  }

  #handle(input: Input): void {
    const state = this.#state;
    switch (input.kind) {
      case 'tick':
        inputs.tick(state, input.nowMs);
        break;
      case 'receive':
        receive(state, input.message);
        break;
      case 'propose':
        inputs.propose(state, input.proposals);
        break;
      case 'persisted':
        inputs.persisted(state, input.sequence);
        break;
      case 'applied':
        inputs.applied(state, input.index);
        break;
      case 'logRead':
        inputs.logReadBack(state, input.to, input.entries);
        break;
      case 'readIndex':
        inputs.readClock(state, input.nowMs);
        readLocal(state, input.requestId, input.lease);
        break;
      case 'changeConfiguration':
        changeConfiguration(state, input.proposalId, input.voters, input.learners);
        break;
      case 'compacted':
        compacted(state, input.index);
        break;
      case 'installSnapshot':
        installSnapshot(state, input.from, input.term, input.mark);
        break;
      case 'snapshotEnded':
        snapshotEnded(state, input.to, input.installed);
        break;
      case 'storageFull':
        state.storageFull = input.full;
        break;
      case 'transferLeadership':
        startTransfer(state, input.to);
        break;
      case 'unreachable':
        inputs.unreachablePeer(state, input.peer);
        break;
      default:
        unreachable(input, 'input');
    }
  }

  /** I6: tells the driver to apply what is committed and durable here. */
  #releaseCommit(): void {
    const state = this.#state;
    // I16: what comes after an image is applied to it, not to the state that it replaces.
    if (state.restoring !== null) return;
    const index = logIndex(Math.min(state.commitIndex, state.durability.durableIndex));
    if (index <= state.releasedIndex) return;
    state.releasedIndex = index;
    state.output.effect({ kind: 'commit', index });
  }

  #configurationChange(): void {
    const { membership, commitIndex, output } = this.#state;
    const placed = membership.current;
    const committed = placed.index <= commitIndex;
    if (placed === this.#reportedConfiguration && committed === this.#reportedCommitted) return;
    this.#reportedConfiguration = placed;
    this.#reportedCommitted = committed;
    output.effect({ kind: 'configurationChanged', placed, committed });
  }

  /** One effect for all that changed within the step. */
  #roleChange(): Effect | null {
    const { term, role } = this.#state;
    const leader = leaderOf(this.#state);
    if (role.kind === this.#reportedRole && term === this.#reportedTerm && leader === this.#reportedLeader) return null;
    this.#reportedRole = role.kind;
    this.#reportedTerm = term;
    this.#reportedLeader = leader;
    this.#state.trace?.({ kind: 'role', term, role: role.kind, leader });
    return { kind: 'roleChanged', role: role.kind, term, leader };
  }
}

function peerStatus(state: State, progress: Progress): PeerStatus {
  return {
    id: progress.id,
    matchIndex: progress.matchIndex,
    nextIndex: progress.nextIndex,
    state: progress.state,
    inflightMessages: progress.inflightMessages,
    active: progress.isActive(state.tick, state.electionTicks),
    recovering: progress.recovering,
  };
}
