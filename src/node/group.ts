/**
 * One stream of a member: its raft core, its state machine, and everybody who waits for them. The parts have files of their
 * own; here they are put together, and effects and entries find their way to them.
 */
import { decodeConfiguration } from '../codec/configuration.ts';
import type { ReplicatedMachine } from '../machine/api.ts';
import type { Raft } from '../raft/raft.ts';
import type { Entry, Input, Message, PlacedConfiguration, RaftStatus, SnapshotMark } from '../raft/types.ts';
import type { StoreImage } from '../store/types.ts';
import { unreachable } from '../types/assert.ts';
import type { LogIndex, MemberId, Revision, StreamId } from '../types/ids.ts';
import { CoreDriver, type OutwardEffect } from './core-driver.ts';
import { GroupDuties } from './group-duties.ts';
import { createReceiver, createSender } from './group-images.ts';
import type { ImageReceiver } from './image-receiver.ts';
import type { ImageSender } from './image-sender.ts';
import { LeaderWorks } from './leader-work.ts';
import { successorOf } from './membership.ts';
import { Mutations } from './mutations.ts';
import type { MemberDeps } from './options.ts';
import * as outcomes from './outcomes.ts';
import { Queries } from './queries.ts';
import { StoreWriter } from './store-writer.ts';
import { StreamTime } from './stream-time.ts';
import type {
  Envelope,
  MutationOutcome,
  MutationRequest,
  ReadConsistency,
  ReadOutcome,
  TransferOutcome,
  WatchFeed,
} from './types.ts';

/** Where a group starts. */
export interface GroupStart {
  readonly raft: Raft;
  readonly machine: ReplicatedMachine;
  /** What the machine stands for. */
  readonly mark: SnapshotMark;
}

export class Group {
  readonly stream: StreamId;
  readonly #deps: MemberDeps;
  readonly #raft: Raft;
  #machine: ReplicatedMachine;
  /** Of the last entry that was applied. */
  #mark: SnapshotMark;
  readonly #driver: CoreDriver;
  readonly #mutations: Mutations;
  readonly #queries: Queries;
  readonly #time: StreamTime;
  readonly #writer: StoreWriter;
  readonly #sender: ImageSender;
  readonly #receiver: ImageReceiver;
  readonly #duties: GroupDuties;
  readonly #works: LeaderWorks;
  #nextProposalId = 1;
  /** Members that nothing was heard of since their connection broke: forwarding to them would only wait in vain. */
  readonly #silent = new Set<MemberId>();
  readonly #transferring: ((outcome: TransferOutcome) => void)[] = [];
  #stopped = false;

  constructor(deps: MemberDeps, stream: StreamId, start: GroupStart) {
    this.stream = stream;
    this.#deps = deps;
    this.#raft = start.raft;
    this.#machine = start.machine;
    this.#mark = start.mark;
    this.#time = new StreamTime(deps.clock, () => this.#machine.timeMs);
    this.#mutations = new Mutations({
      deps,
      stream,
      now: () => this.#time.now(),
      featureLevel: () => ({ level: this.#machine.featureLevel().level, settled: this.#mark.term === this.#raft.term }),
      nextProposalId: () => this.#nextProposalId++,
      propose: (proposals) => this.#driver.input({ kind: 'propose', proposals }),
    });
    this.#queries = new Queries({
      clock: deps.clock,
      machine: () => this.#machine,
      readIndex: (requestId, lease, nowMs) => this.#driver.input({ kind: 'readIndex', requestId, lease, nowMs }),
      retryAfterMs: () => this.#mutations.retryAfterMs(),
    });
    this.#driver = this.#createDriver();
    this.#writer = this.#createWriter();
    const images = { raft: this.#raft, input: (input: Input) => this.#driver.input(input) };
    this.#sender = createSender(deps, stream, { ...images, openImage: () => this.openImage() });
    this.#receiver = createReceiver(deps, stream, images);
    this.#duties = new GroupDuties({
      deps,
      stream,
      raft: this.#raft,
      machine: () => this.#machine,
      writer: this.#writer,
      sender: this.#sender,
      mutations: this.#mutations,
      now: () => this.#time.now(),
      nextProposalId: () => this.#nextProposalId++,
      input: (input) => this.#driver.input(input),
      drained: () => this.#driver.drained(),
      onFatal: (error) => this.#fail(error),
    });
    this.#works = new LeaderWorks({
      works: deps.leaderWorks?.(stream) ?? [],
      memberId: deps.memberId,
      clock: deps.clock,
      random: deps.random,
      view: () => this.#machine,
      raftStatus: () => this.#raft.status(),
      now: () => this.#time.now(),
      propose: (body, traceId, done) => this.#mutations.proposeOwn(body, done, traceId),
    });
  }

  // ------------------------------------------------------------------------------------------ parts

  #createDriver(): CoreDriver {
    const { deps, stream } = { deps: this.#deps, stream: this.stream };
    return new CoreDriver(
      {
        stream,
        raft: this.#raft,
        wal: deps.wal,
        clock: deps.clock,
        send: (message) => deps.network.send(message.to, { kind: 'raft', stream, message }),
        onCommitted: (entries) => this.#applyAll(entries),
        onEffect: (effect) => this.#onEffect(effect),
        restore: (mark, keepEntries) => this.#restore(mark, keepEntries),
        onRestored: (mark) => this.#onRestored(mark),
        onFatal: (error) => this.#fail(error),
        mayAckEarly: () => this.#duties.availability.ackEarly,
        ackTimes: deps.ackTimes ?? null,
      },
      this.#machine.appliedIndex,
    );
  }

  #createWriter(): StoreWriter {
    const { store, clock, settings } = this.#deps;
    return new StoreWriter({
      stream: this.stream,
      store,
      clock,
      flushMs: settings.storeFlushMs,
      flushBytes: settings.storeFlushBytes,
      machine: () => this.#machine,
      mark: () => this.#mark,
      durableIndex: () => this.#raft.durableIndex,
      onError: (error) => this.#fail(error),
    });
  }

  // ------------------------------------------------------------------------------------------ views

  get machine(): ReplicatedMachine {
    return this.#machine;
  }
  get waitingProposals(): number {
    return this.#mutations.waiting;
  }
  get watches(): number {
    return this.#queries.watches;
  }
  get storedIndex(): LogIndex {
    return this.#writer.storedIndex;
  }
  get duties(): GroupDuties {
    return this.#duties;
  }
  get transfers(): ReturnType<ImageSender['status']> {
    return this.#sender.status();
  }
  raftStatus(): RaftStatus {
    return this.#raft.status();
  }

  // ------------------------------------------------------------------------------------------ inputs

  /** Once, before the first tick: who belongs to the cluster. */
  start(): void {
    this.#duties.membersChanged();
  }

  tick(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    this.#driver.input({ kind: 'tick', nowMs });
    this.#mutations.expire(nowMs);
    this.#queries.expire(nowMs);
    this.#sender.tick();
    this.#duties.tick(nowMs);
    const leading = !this.#stopped && this.#raft.role === 'leader';
    this.#works.tick(nowMs, leading && this.#mark.term === this.#raft.term, this.#raft.term);
  }

  receive(from: MemberId, envelope: Exclude<Envelope, { kind: 'forwardRequest' | 'ackTimes' }>): void {
    this.#silent.delete(from);
    this.#sender.heard(from);
    switch (envelope.kind) {
      case 'raft':
        this.#receiveMessage(from, envelope.message);
        return;
      case 'forwardResponse':
        this.#mutations.forwardAnswered(from, envelope.requestId, envelope.outcome);
        return;
      case 'snapshotChunk':
        this.#receiver.receive(from, envelope);
        return;
      case 'snapshotAck':
        this.#sender.acked(from, envelope);
        return;
      case 'stateHash':
        this.#duties.stateHash(from, envelope.index, envelope.hash);
        return;
      default:
        unreachable(envelope, 'envelope');
    }
  }

  /** The network knows who sent it; a message in another's name is dropped. */
  #receiveMessage(from: MemberId, message: Message): void {
    if (message.from !== from || message.to !== this.#deps.memberId) return;
    this.#driver.input({ kind: 'receive', message });
  }

  unreachable(peer: MemberId): void {
    this.#silent.add(peer);
    this.#mutations.unreachable(peer);
    this.#sender.unreachable(peer);
    this.#driver.input({ kind: 'unreachable', peer });
  }

  /** See `MemberPort.transferLeadership`. */
  transferLeadership(to: MemberId | null): Promise<TransferOutcome> {
    const target = to ?? this.successor();
    if (this.#stopped || target === null || this.#raft.role !== 'leader') return Promise.resolve('refused');
    return new Promise((resolve) => {
      this.#transferring.push(resolve);
      this.#driver.input({ kind: 'transferLeadership', to: target });
    });
  }

  // ------------------------------------------------------------------------------------------ mutations and reads

  /** See `MemberPort.mutate`; `forwardable` is false for a mutation that another member passed on. */
  mutate(request: MutationRequest, deadlineMs: number, forwardable: boolean): Promise<MutationOutcome> {
    if (this.#stopped) return Promise.resolve(outcomes.shuttingDown());
    const { partition } = this.#duties;
    if (partition.partitioned && forwardable) return Promise.resolve(outcomes.partitioned(partition.durationMs));
    if (this.#raft.role === 'leader') return this.#mutations.propose(request, deadlineMs);
    const leader = this.#raft.leader;
    if (leader === null || leader === this.#deps.memberId) return Promise.resolve(outcomes.noLeader());
    if (!forwardable) return Promise.resolve(outcomes.notLeader(leader));
    if (this.#silent.has(leader)) return Promise.resolve(outcomes.noLeader());
    return this.#mutations.forward(leader, request, deadlineMs);
  }

  read(deadlineMs: number, consistency: ReadConsistency): Promise<ReadOutcome> {
    return this.#queries.read(deadlineMs, consistency);
  }

  watch(from: Revision): WatchFeed | null {
    return this.#queries.watch(from);
  }

  closeWatches(): void {
    this.#queries.closeWatches();
  }

  /** An image of everything that was applied at the call, or more. */
  async openImage(): Promise<StoreImage | null> {
    await this.#writer.flush();
    return this.#stopped ? null : this.#deps.store.image(this.stream);
  }

  // ------------------------------------------------------------------------------------------ effects

  #onEffect(effect: OutwardEffect): void {
    switch (effect.kind) {
      case 'proposalAppended':
        if (!this.#duties.proposalSettled(effect.proposalId, null)) {
          this.#mutations.appended(effect.proposalId, effect.index, effect.term);
        }
        return;
      case 'proposalRefused':
        if (!this.#duties.proposalSettled(effect.proposalId, effect.reason)) {
          this.#mutations.refused(effect.proposalId, effect.reason, effect.leader);
        }
        return;
      case 'readReady':
        this.#queries.confirmed(effect.requestId, effect.index);
        return;
      case 'readRefused':
        this.#queries.refused(effect.requestId);
        return;
      case 'roleChanged':
        if (effect.role === 'leader') this.#time.take();
        else this.#sender.stopAll();
        this.#works.depose();
        this.#mutations.roleChanged();
        this.#duties.roleChanged(effect.role === 'leader');
        this.#deps.onRole?.(this.stream, effect);
        return;
      case 'transferEnded':
        this.#transferEnded(effect.outcome);
        return;
      case 'sendSnapshot':
        this.#sender.start(effect.to);
        return;
      case 'snapshotRefused':
        this.#receiver.refused(effect.reason === 'stale');
        return;
      default:
        this.#duties.effect(effect);
    }
  }

  #transferEnded(outcome: TransferOutcome): void {
    for (const resolve of this.#transferring.splice(0)) resolve(outcome);
  }

  #applyAll(entries: readonly Entry[]): void {
    let bytes = 0;
    for (const entry of entries) {
      this.#applyOne(entry);
      bytes += entry.payload.length;
    }
    this.#queries.applied();
    this.#writer.touch(bytes);
  }

  #applyOne(entry: Entry): void {
    const { index, term, kind } = entry;
    const command = kind === 'command' ? this.#mutations.commandOf(entry) : null;
    const applied = this.#machine.apply({ index, term, command });
    const configuration: PlacedConfiguration =
      kind === 'configuration'
        ? { index, configuration: decodeConfiguration(entry.payload) }
        : this.#mark.configuration;
    this.#mark = { index, term, configuration };
    this.#queries.publish(applied.events);
    this.#deps.onApplied?.(this.stream, entry, this.#machine, applied);
    this.#duties.applied(index, command);
    this.#works.applied(applied.events);
    this.#mutations.applied(entry, applied);
  }

  // ------------------------------------------------------------------------------------------ images

  async #restore(mark: SnapshotMark, keepEntries: boolean): Promise<void> {
    await this.#writer.hold();
    await this.#receiver.install(mark, keepEntries);
  }

  #onRestored(mark: SnapshotMark): void {
    this.#machine = this.#receiver.takeOver(mark.index);
    this.#mark = mark;
    this.#writer.resume(mark.index);
    this.#queries.replaced();
    this.#mutations.skipped(mark.index);
    this.#deps.onRestored?.(this.stream, mark, this.#machine);
    this.#deps.onNotice?.({ kind: 'snapshotInstalled', index: mark.index });
    this.#duties.restored();
  }

  // ------------------------------------------------------------------------------------------ end

  /** Stops in order: nobody waits any more, then what was applied goes to the store. */
  async stop(): Promise<void> {
    this.#end();
    await this.#driver.stop();
    await this.#duties.availability.end();
    await this.#receiver.stop();
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
    this.#works.depose();
    this.#mutations.end();
    this.#queries.end();
    this.#transferEnded('refused');
    this.#sender.stopAll();
  }

  /** Whom to hand leadership to; null when there is none. */
  successor(): MemberId | null {
    return successorOf(this.#raft.status());
  }
}
