/**
 * One stream of a member: its raft core, its state machine, and everybody who waits for them.
 *
 * Invariants:
 * G1  A mutation is answered `applied` only after its entry was applied here, so only after it was committed:
 *     fsync'd on a majority (W2).
 * G2  A mutation is answered `refused` only if it can never be carried out: it never entered a log, or another entry
 *     was committed in its place. Everything else that ends early is `indeterminate`.
 * G3  Answers are given once.
 */
import { decodeCommand, encodeCommand } from '../codec/command.ts';
import { forwardBytes } from '../codec/envelope-size.ts';
import { EventHub } from '../events/hub.ts';
import type { ReplicatedMachine } from '../machine/api.ts';
import type { Command } from '../machine/types.ts';
import { Admission } from '../proposal/admission.ts';
import { Waiters } from '../proposal/waiters.ts';
import type { Raft } from '../raft/raft.ts';
import type { Entry, Message, Proposal, RaftStatus } from '../raft/types.ts';
import { assert, InvariantError, unreachable } from '../types/assert.ts';
import type { LogIndex, MemberId, Revision, StreamId } from '../types/ids.ts';
import { COMMAND_BYTES_MAX, FORWARDED_BYTES_MAX } from '../types/limits.ts';
import { CoreDriver, type OutwardEffect } from './core-driver.ts';
import { Forwarding } from './forwarding.ts';
import type { MemberDeps } from './options.ts';
import * as outcomes from './outcomes.ts';
import { type ReadAnswer, Reads } from './reads.ts';
import { StoreWriter } from './store-writer.ts';
import { StreamTime } from './stream-time.ts';
import type { MutationOutcome, MutationRequest, ReadOutcome, WatchFeed } from './types.ts';

export class Group {
  readonly stream: StreamId;
  readonly #deps: MemberDeps;
  readonly #raft: Raft;
  readonly #machine: ReplicatedMachine;
  readonly #driver: CoreDriver;
  readonly #hub = new EventHub();
  readonly #admission: Admission;
  /** Bounds what waits for an answer of the leader, apart from what this member proposes itself. */
  readonly #forwardAdmission: Admission;
  readonly #waiters = new Waiters<MutationOutcome>();
  readonly #forwarding: Forwarding;
  readonly #reads = new Reads();
  readonly #time: StreamTime;
  readonly #writer: StoreWriter;
  #proposals: Proposal[] = [];
  #nextProposalId = 1;
  /** Members that nothing was heard of since their connection broke: forwarding to them would only wait in vain. */
  readonly #silent = new Set<MemberId>();
  /** Commands of own proposals, decoded from the very bytes that are in the log: no replica reads anything else. */
  readonly #decoded = new WeakMap<Uint8Array, Command>();
  #timerProposed = false;
  #watchesClosed = false;
  #stopped = false;

  constructor(deps: MemberDeps, stream: StreamId, raft: Raft, machine: ReplicatedMachine) {
    this.stream = stream;
    this.#deps = deps;
    this.#raft = raft;
    this.#machine = machine;
    this.#time = new StreamTime(deps.clock);
    this.#admission = new Admission(deps.settings.proposalsMax, deps.settings.proposalBytesMax);
    this.#forwardAdmission = new Admission(deps.settings.proposalsMax, FORWARDED_BYTES_MAX);
    this.#forwarding = new Forwarding(1 + deps.random.below(2 ** 31) * 2 ** 20);
    this.#driver = new CoreDriver(
      {
        stream,
        raft,
        wal: deps.wal,
        clock: deps.clock,
        send: (message) => deps.network.send(message.to, { kind: 'raft', stream, message }),
        onCommitted: (entries) => this.#applyAll(entries),
        onEffect: (effect) => this.#onEffect(effect),
        onFatal: (error) => this.#fail(error),
      },
      machine.appliedIndex,
    );
    this.#writer = new StoreWriter({
      stream,
      machine,
      store: deps.store,
      clock: deps.clock,
      flushMs: deps.settings.storeFlushMs,
      durableIndex: () => raft.status().durableIndex,
      onError: (error) => this.#fail(error),
    });
  }

  get machine(): ReplicatedMachine {
    return this.#machine;
  }
  get waitingProposals(): number {
    return this.#admission.count + this.#forwardAdmission.count;
  }
  get watches(): number {
    return this.#hub.size;
  }
  raftStatus(): RaftStatus {
    return this.#raft.status();
  }

  // ------------------------------------------------------------------------------------------ inputs

  tick(): void {
    this.#driver.input({ kind: 'tick' });
    const nowMs = this.#deps.clock.monotonicMs();
    const late = outcomes.indeterminate('the deadline passed before the outcome was known');
    this.#waiters.expire(nowMs, late);
    this.#forwarding.expire(nowMs, late);
    this.#reads.expire(nowMs);
    this.#proposeDueTimers();
  }

  receive(message: Message): void {
    this.#silent.delete(message.from);
    this.#driver.input({ kind: 'receive', message });
  }

  unreachable(peer: MemberId): void {
    this.#silent.add(peer);
    this.#forwarding.unreachable(peer, outcomes.indeterminate(`the connection to ${peer} broke`));
    this.#driver.input({ kind: 'unreachable', peer });
  }

  transferLeadership(to: MemberId): boolean {
    if (this.#raft.role !== 'leader' || !this.#raft.status().configuration.voters.includes(to)) return false;
    this.#driver.input({ kind: 'transferLeadership', to });
    return true;
  }

  // ------------------------------------------------------------------------------------------ mutations

  /** See `MemberPort.mutate`; `forwardable` is false for a mutation that another member passed on. */
  mutate(request: MutationRequest, deadlineMs: number, forwardable: boolean): Promise<MutationOutcome> {
    if (this.#stopped) return Promise.resolve(outcomes.shuttingDown());
    if (this.#raft.role === 'leader') return this.#propose(request, deadlineMs);
    const leader = this.#raft.leader;
    if (leader === null || leader === this.#deps.memberId) return Promise.resolve(outcomes.noLeader());
    if (!forwardable) return Promise.resolve(outcomes.notLeader(leader));
    if (this.#silent.has(leader)) return Promise.resolve(outcomes.noLeader());
    return this.#forward(leader, request, deadlineMs);
  }

  forwardAnswered(from: MemberId, requestId: number, outcome: MutationOutcome): void {
    this.#forwarding.answered(from, requestId, outcome);
  }

  #propose(request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    const payload = encodeCommand({ timeMs: this.#time.now(), ...request });
    if (payload.length > COMMAND_BYTES_MAX) {
      return Promise.resolve(outcomes.tooLarge(payload.length, COMMAND_BYTES_MAX));
    }
    // What every replica will have to read is read here first: an entry that cannot be decoded would stop them all.
    // The gateway lets no such command pass, so it is a bug of a caller in this process.
    const decoded = decodeCommand(payload);
    if (!decoded.ok) return Promise.reject(new InvariantError(`a command that cannot be read back: ${decoded.error}`));
    this.#decoded.set(payload, decoded.value);
    if (!this.#admission.tryAdmit(payload.length)) {
      return Promise.resolve(outcomes.overloaded(this.#admission.retryAfterMs()));
    }
    const startedMs = this.#deps.clock.monotonicMs();
    return new Promise((resolve) => {
      const settle = (outcome: MutationOutcome): void => {
        this.#admission.release(payload.length, this.#deps.clock.monotonicMs() - startedMs);
        resolve(outcome);
      };
      this.#enqueue(payload, { settle, deadlineMs: startedMs + deadlineMs });
    });
  }

  /** Proposals of one turn go to the core together: one persist effect, one append for each follower. */
  #enqueue(payload: Uint8Array, waiter: { settle: (outcome: MutationOutcome) => void; deadlineMs: number }): void {
    const proposalId = this.#nextProposalId++;
    this.#waiters.add(proposalId, waiter);
    this.#proposals.push({ proposalId, payload });
    if (this.#proposals.length === 1) this.#deps.clock.defer(() => this.#flushProposals());
  }

  #flushProposals(): void {
    if (this.#proposals.length === 0) return;
    const proposals = this.#proposals;
    this.#proposals = [];
    this.#driver.input({ kind: 'propose', proposals });
  }

  #forward(leader: MemberId, request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    const bytes = forwardBytes(request.body);
    const admission = this.#forwardAdmission;
    if (!admission.tryAdmit(bytes)) return Promise.resolve(outcomes.overloaded(admission.retryAfterMs()));
    const startedMs = this.#deps.clock.monotonicMs();
    return new Promise((resolve) => {
      const settle = (outcome: MutationOutcome): void => {
        admission.release(bytes, this.#deps.clock.monotonicMs() - startedMs);
        resolve(outcome);
      };
      const requestId = this.#forwarding.add({ leader, settle, deadlineMs: startedMs + deadlineMs });
      const sent = this.#deps.network.send(leader, {
        kind: 'forwardRequest',
        stream: this.stream,
        requestId,
        deadlineMs: Math.max(1, Math.floor(deadlineMs)),
        request,
      });
      // Not taken is certainly not sent (G2).
      if (!sent) this.#forwarding.answered(leader, requestId, outcomes.overloaded(admission.retryAfterMs()));
    });
  }

  /** Time is data: when a timer of the state is due, the leader says so in the log (architecture, decision 4). */
  #proposeDueTimers(): void {
    if (this.#raft.role !== 'leader' || this.#timerProposed || this.#stopped) return;
    const dueMs = this.#machine.nextTimerMs();
    const nowMs = this.#time.now();
    if (dueMs === null || dueMs > nowMs) return;
    this.#timerProposed = true;
    const body = { kind: 'advanceTime' } as const;
    this.#enqueue(encodeCommand({ timeMs: nowMs, session: null, caller: '', traceId: '', body }), {
      settle: () => {
        this.#timerProposed = false;
      },
      deadlineMs: Number.POSITIVE_INFINITY,
    });
  }

  // ------------------------------------------------------------------------------------------ reads and watches

  read(deadlineMs: number): Promise<ReadOutcome> {
    if (this.#stopped) return Promise.resolve(outcomes.shuttingDown());
    return new Promise((resolve) => {
      const settle = (answer: ReadAnswer): void => resolve(this.#readOutcome(answer));
      const read = { settle, deadlineMs: this.#deps.clock.monotonicMs() + deadlineMs };
      const added = this.#reads.add(read, () => this.#deps.clock.defer(() => this.#flushReads()));
      if (!added) resolve(outcomes.overloaded(this.#admission.retryAfterMs()));
    });
  }

  #flushReads(): void {
    const requestId = this.#reads.take();
    if (requestId !== null) this.#driver.input({ kind: 'readIndex', requestId });
  }

  #readOutcome(answer: ReadAnswer): ReadOutcome {
    switch (answer) {
      case 'ready':
        return { kind: 'ready', view: this.#machine };
      case 'refused':
      case 'timed_out':
        return this.#stopped ? outcomes.shuttingDown() : outcomes.noLeader();
    }
  }

  watch(from: Revision): WatchFeed | null {
    return this.#stopped || this.#watchesClosed ? null : this.#hub.open(from, this.#machine);
  }

  /** Ends every watch, so that its reader goes on at another member; no new one is opened. */
  closeWatches(): void {
    this.#watchesClosed = true;
    this.#hub.close();
  }

  // ------------------------------------------------------------------------------------------ effects

  #onEffect(effect: OutwardEffect): void {
    switch (effect.kind) {
      case 'proposalAppended':
        this.#waiters.place(effect.proposalId, effect.index, effect.term, outcomes.displaced());
        return;
      case 'proposalRefused': {
        const retryAfterMs = this.#admission.retryAfterMs();
        this.#waiters.refuse(effect.proposalId, outcomes.refusedByCore(effect.reason, effect.leader, retryAfterMs));
        return;
      }
      case 'readReady':
        this.#reads.confirmed(effect.requestId, effect.index, this.#machine.appliedIndex);
        return;
      case 'readRefused':
        this.#reads.refused(effect.requestId);
        return;
      case 'roleChanged':
        if (effect.role === 'leader') this.#time.take(this.#machine.timeMs);
        this.#deps.onRole?.(this.stream, effect);
        return;
      case 'transferEnded':
        return;
      default:
        unreachable(effect, 'effect');
    }
  }

  #applyAll(entries: readonly Entry[]): void {
    for (const entry of entries) this.#applyOne(entry);
    this.#reads.applied(this.#machine.appliedIndex);
    this.#writer.touch();
  }

  #applyOne(entry: Entry): void {
    const command = entry.kind === 'command' ? this.#decode(entry) : null;
    // The entry stays in the log's cache for followers that lag; the command is not needed again.
    this.#decoded.delete(entry.payload);
    const { result, replayed, events } = this.#machine.apply({ index: entry.index, term: entry.term, command });
    if (events.length > 0) this.#hub.publish(events);
    this.#deps.onApplied?.(this.stream, entry, this.#machine);
    this.#waiters.applied(
      entry.index,
      entry.term,
      () => {
        assert(result !== null, 'who waits, waits for a command');
        return { kind: 'applied', index: entry.index, term: entry.term, replayed, result };
      },
      outcomes.lost(),
    );
  }

  /** An entry that this version cannot read must stop the member: skipping it would make its state another one. */
  #decode(entry: Entry): Command {
    const known = this.#decoded.get(entry.payload);
    if (known !== undefined) return known;
    const decoded = decodeCommand(entry.payload);
    assert(decoded.ok, `entry ${entry.index} can be decoded${decoded.ok ? '' : `: ${decoded.error}`}`);
    return decoded.value;
  }

  // ------------------------------------------------------------------------------------------ end

  /** Stops in order: nobody waits any more, then what was applied goes to the store. */
  async stop(): Promise<void> {
    this.#end();
    await this.#driver.stop();
    await this.#writer.stop();
  }

  #fail(error: Error): void {
    if (this.#stopped) return;
    this.#writer.abandon();
    void this.#driver.stop();
    this.#end();
    this.#deps.onFatal(error);
  }

  #end(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const { proposalId } of this.#proposals) this.#waiters.refuse(proposalId, outcomes.shuttingDown());
    this.#proposals = [];
    const unknown = outcomes.indeterminate('the member stopped');
    this.#waiters.settleAll(unknown);
    this.#forwarding.settleAll(unknown);
    this.#reads.settleAll('refused');
    this.closeWatches();
  }

  /** Whom to hand leadership to: the active voter that is furthest; null when there is none. */
  successor(): MemberId | null {
    const { peers, configuration } = this.#raft.status();
    let best: { id: MemberId; matchIndex: LogIndex } | null = null;
    for (const peer of peers) {
      if (!peer.active || !configuration.voters.includes(peer.id) || peer.id === this.#deps.memberId) continue;
      if (best === null || peer.matchIndex > best.matchIndex) best = peer;
    }
    return best?.id ?? null;
  }
}
