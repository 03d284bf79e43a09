/**
 * A member: hosts the streams, owns the only scheduler, and passes envelopes between the network and the streams.
 * Everything that touches the world comes in through `MemberDeps`.
 */
import { decodeConfiguration, encodeConfiguration } from '../codec/configuration.ts';
import type { MachineView, ReplicatedMachine } from '../machine/api.ts';
import { createMachine, startLoading } from '../machine/machine.ts';
import type { NetworkHandler } from '../ports/network.ts';
import { Raft } from '../raft/raft.ts';
import type { RaftOptions, RaftStatus, SnapshotMark } from '../raft/types.ts';
import { loadImage } from '../snapshot/load.ts';
import type { StoreImage } from '../store/types.ts';
import { assert, must } from '../types/assert.ts';
import { logIndex, type MemberId, type Revision, type StreamId } from '../types/ids.ts';
import * as limits from '../types/limits.ts';
import type { RecoveredStream } from '../wal/types.ts';
import { Group } from './group.ts';
import { levelTooHigh } from './group-duties.ts';
import type { MemberDeps, MemberSettings } from './options.ts';
import * as outcomes from './outcomes.ts';
import { emptyMark } from './store-writer.ts';
import type {
  Envelope,
  MemberPort,
  MemberStatus,
  MutationOutcome,
  MutationRequest,
  ReadConsistency,
  ReadOutcome,
  TransferOutcome,
  WatchFeed,
} from './types.ts';

export class Member implements MemberPort, NetworkHandler<Envelope> {
  readonly #deps: MemberDeps;
  readonly #groups = new Map<StreamId, Group>();
  #cancelTick: (() => void) | null = null;
  #tickedMs = Number.NEGATIVE_INFINITY;
  #fault: string | null = null;
  #started = false;
  #retiring: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;

  private constructor(deps: MemberDeps) {
    assert(deps.asyncMark === undefined || deps.streams.length === 1, 'EA2: the mark is that of one stream');
    // One stream's failure stops the member: its log is shared by all of them.
    this.#deps = { ...deps, onFatal: (error) => this.#fail(error, deps.onFatal) };
  }

  /** Brings every stream to where the log and the store left it. Rejects when they do not fit each other. */
  static async open(deps: MemberDeps): Promise<Member> {
    const member = new Member(deps);
    for (const stream of deps.streams) {
      member.#groups.set(stream, await openGroup(member.#deps, stream));
    }
    return member;
  }

  /** Starts the clock; before that the member neither campaigns nor answers. */
  start(): void {
    assert(!this.#started, 'a member is started once');
    this.#started = true;
    this.#deps.wal.waitForRoom(true);
    for (const group of this.#groups.values()) group.start();
    this.#tick();
  }

  // ------------------------------------------------------------------------------------------ network

  receive(from: MemberId, envelope: Envelope): void {
    const group = this.#groups.get(envelope.stream);
    if (group === undefined || !this.#started || this.#fault !== null) return;
    switch (envelope.kind) {
      case 'forwardRequest':
        this.#receiveForward(group, from, envelope);
        return;
      case 'ackTimes':
        this.#deps.ackTimes?.heard(from, envelope, this.#deps.clock.monotonicMs());
        return;
      default:
        group.receive(from, envelope);
    }
  }

  #receiveForward(group: Group, from: MemberId, envelope: Extract<Envelope, { kind: 'forwardRequest' }>): void {
    const deadlineMs = Math.min(envelope.deadlineMs, limits.CALL_DEADLINE_MAX_MS);
    // Shares are those of clients, whichever member they ask (A5). An older one does not say whose it is: then sessions stand for clients.
    const { client, session } = envelope.request;
    const request = { ...envelope.request, client: `${from} ${client ?? `session ${session?.id ?? 0}`}` };
    group.mutate(request, deadlineMs, false).then(
      (outcome) => {
        const { stream, requestId } = envelope;
        this.#deps.network.send(from, { kind: 'forwardResponse', stream, requestId, outcome });
      },
      // What a peer sent was checked by its codec: a request that breaks an invariant here is a bug of this member.
      (error: unknown) => this.#deps.onFatal(error instanceof Error ? error : new Error(String(error))),
    );
  }

  unreachable(peer: MemberId): void {
    for (const group of this.#groups.values()) group.unreachable(peer);
  }

  // ------------------------------------------------------------------------------------------ MemberPort

  mutate(stream: StreamId, request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    if (this.#retiring !== null || this.#fault !== null) return Promise.resolve(outcomes.shuttingDown());
    this.#tickIfLate();
    return this.#group(stream).mutate(request, Math.min(deadlineMs, limits.CALL_DEADLINE_MAX_MS), true);
  }

  read(stream: StreamId, deadlineMs: number, consistency: ReadConsistency): Promise<ReadOutcome> {
    if (this.#retiring !== null || this.#fault !== null) return Promise.resolve(outcomes.shuttingDown());
    this.#tickIfLate();
    return this.#group(stream).read(Math.min(deadlineMs, limits.CALL_DEADLINE_MAX_MS), consistency);
  }

  local(stream: StreamId): MachineView {
    return this.#group(stream).machine;
  }

  watch(stream: StreamId, from: Revision): WatchFeed | null {
    return this.#group(stream).watch(from);
  }

  transferLeadership(stream: StreamId, to: MemberId | null): Promise<TransferOutcome> {
    return this.#group(stream).transferLeadership(to);
  }

  async openImage(stream: StreamId): Promise<StoreImage | null> {
    if (this.#retiring !== null || this.#fault !== null) return null;
    return this.#group(stream).openImage();
  }

  /** The part of {@link status} that the core knows; costs no hashing. */
  raftStatus(stream: StreamId): RaftStatus {
    return this.#group(stream).raftStatus();
  }

  status(stream: StreamId): MemberStatus {
    const group = this.#group(stream);
    return {
      clusterId: this.#deps.clusterId,
      memberId: this.#deps.memberId,
      stream,
      raft: group.raftStatus(),
      appliedIndex: group.machine.appliedIndex,
      get stateHash() {
        return group.machine.stateHash();
      },
      sessions: group.machine.sessionCount(),
      waitingProposals: group.waitingProposals,
      watches: group.watches,
      alarms: group.duties.alarms(),
      partitionMs: group.duties.partition.durationMs,
      transfers: group.transfers,
      storedIndex: group.storedIndex,
      featureLevel: group.machine.featureLevel().level,
      featureLevels: new Map([...this.#deps.peerFeatureLevels(), [this.#deps.memberId, this.#deps.featureLevelMax]]),
      removed: group.duties.removed,
      fault: this.#fault,
    };
  }

  #group(stream: StreamId): Group {
    return must(this.#groups.get(stream), `stream ${stream} is hosted here`);
  }

  // ------------------------------------------------------------------------------------------ life

  /** One tick at a time, re-armed at its end: a stall of the process passes as one tick, not as a burst of them (A4). */
  #tick(): void {
    this.#tickedMs = this.#deps.clock.monotonicMs();
    this.#cancelTick = this.#deps.clock.after(this.#deps.settings.tickMs, () => {
      this.#tick();
      for (const group of this.#groups.values()) group.tick();
    });
  }

  /**
   * A flood of calls keeps the timers of the event loop waiting; the heartbeats of a leader must not wait with them, or its followers
   * elect another one for nothing (A5). Ticks stay as far apart as ever.
   */
  #tickIfLate(): void {
    const { clock, settings } = this.#deps;
    if (!this.#started || clock.monotonicMs() - this.#tickedMs < 2 * settings.tickMs) return;
    this.#cancelTick?.();
    this.#tick();
    for (const group of this.#groups.values()) group.tick();
  }

  /**
   * First half of a graceful stop: ends the watches, refuses new work and hands leadership over where it leads (for at
   * most one election timeout). What is under way is still answered. Idempotent.
   */
  retire(): Promise<void> {
    this.#retiring ??= this.#retire();
    return this.#retiring;
  }

  async #retire(): Promise<void> {
    for (const group of this.#groups.values()) group.closeWatches();
    if (this.#started && this.#fault === null) await this.#handOver();
  }

  /**
   * Retires, answers everybody who still waits, and flushes the store. The log and the network belong to the caller.
   * Idempotent.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.retire();
    this.#cancelTick?.();
    const ends = [...this.#groups.values()].map((group) => group.stop());
    // Nobody looks for room any more: an append that waits for some would never be settled. Every group has stopped to listen by now.
    this.#deps.wal.waitForRoom(false);
    await Promise.all(ends);
  }

  async #handOver(): Promise<void> {
    const { electionTicks, tickMs } = this.#deps.settings;
    for (const group of this.#groups.values()) {
      const successor = group.successor();
      if (successor !== null) void group.transferLeadership(successor);
    }
    for (let waited = 0; waited < electionTicks && this.#leadsWithPeers(); waited += 1) {
      await new Promise<void>((resolve) => {
        this.#deps.clock.after(tickMs, resolve);
      });
    }
  }

  #leadsWithPeers(): boolean {
    return [...this.#groups.values()].some((group) => group.successor() !== null);
  }

  #fail(error: Error, onFatal: (error: Error) => void): void {
    if (this.#fault !== null) return;
    this.#fault = error.message;
    this.#cancelTick?.();
    for (const group of this.#groups.values()) void group.stop();
    onFatal(error);
  }
}

async function openGroup(deps: MemberDeps, stream: StreamId): Promise<Group> {
  const state = await deps.store.state(stream);
  assert(!state.installing, 'what was being installed is complete (storage/open-storage.ts)');
  if (!deps.wal.streams.some((candidate) => candidate.stream === stream)) {
    assert(state.mark === null, 'a state without a log was dealt with before (storage/open-storage.ts)');
    await deps.wal.bootstrap(stream, deps.initialConfiguration);
  }
  const log = must(
    deps.wal.streams.find((candidate) => candidate.stream === stream),
    'the log has the stream from here on',
  );
  const { machine, stored } = await loadMachine(deps, stream);
  const base = log.firstIndex - 1;
  if (machine.appliedIndex < base && !deps.recovering) {
    throw new Error(
      `the tables end at entry ${machine.appliedIndex} of stream ${stream} and the log begins after ${base}: they do not ` +
        'belong together',
    );
  }
  const { level } = machine.featureLevel();
  if (level > deps.featureLevelMax) throw levelTooHigh(level, deps.featureLevelMax);
  const trace = deps.onTrace;
  const raft = new Raft(
    raftOptions(deps, log, machine.appliedIndex),
    deps.random,
    trace === undefined ? undefined : (event) => trace(stream, event),
  );
  const first = must(log.configurations[0], 'a log has a configuration');
  const mark = stored === null ? emptyMark(first) : await completeMark(deps, stream, stored, raft, first);
  return new Group(deps, stream, { raft, machine, mark });
}

/** A store of release 0.1 knows its index alone: the log, which was never cut by that release, knows the rest. */
async function completeMark(
  deps: MemberDeps,
  stream: StreamId,
  stored: SnapshotMark,
  raft: Raft,
  configuration: SnapshotMark['configuration'],
): Promise<SnapshotMark> {
  if (stored.term > 0 || stored.index === 0) return stored;
  const entryTerm = must(raft.termAt(stored.index), 'the log holds what the store has applied');
  const mark = { index: stored.index, term: entryTerm, configuration };
  await deps.store.write(stream, mark, []);
  return mark;
}

/** The state that the store has, built page by page; a new one when it has none. */
async function loadMachine(
  deps: MemberDeps,
  stream: StreamId,
): Promise<{ readonly machine: ReplicatedMachine; readonly stored: SnapshotMark | null }> {
  const image = await deps.store.image(stream);
  if (image === null) return { machine: createMachine(), stored: null };
  try {
    const yieldNow = (): Promise<void> => new Promise((resolve) => deps.clock.defer(resolve));
    const read: StoreImage['read'] = (after, bytesMax) => image.read(after, bytesMax);
    const loader = startLoading();
    await loadImage(read, loader, yieldNow);
    return { machine: loader.finish(image.mark.index), stored: image.mark };
  } finally {
    await image.close();
  }
}

function raftOptions(deps: MemberDeps, log: RecoveredStream, applied: RaftOptions['appliedIndex']): RaftOptions {
  const settings: MemberSettings = deps.settings;
  return {
    id: deps.memberId,
    configurations: log.configurations,
    encodeConfiguration,
    decodeConfiguration,
    recovering: deps.recovering,
    hardState: log.hardState,
    log: {
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      baseIndex: logIndex(log.firstIndex - 1),
      baseTerm: log.baseTerm,
      spans: log.spans,
    },
    appliedIndex: applied,
    electionTicks: settings.electionTicks,
    heartbeatTicks: settings.heartbeatTicks,
    leaseTicks: settings.leaseTicks,
    leaseMs: settings.leaseMs,
    limits: {
      appendBytesMax: limits.APPEND_BYTES_MAX,
      appendEntriesMax: limits.APPEND_ENTRIES_MAX,
      inflightMessagesMax: limits.INFLIGHT_MESSAGES_MAX,
      inflightBytesMax: limits.INFLIGHT_BYTES_MAX,
      uncommittedBytesMax: settings.uncommittedBytesMax,
      cacheBytesMax: settings.logCacheBytesMax,
      readsMax: limits.READS_MAX,
    },
  };
}
