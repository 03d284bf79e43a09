/**
 * What a member does of its own accord for one stream, again and again: due timers, the membership that is wanted, feature
 * levels, comparing state hashes, cutting the log, looking for room on the disk. Each looks at the state as it is, so that
 * nothing is lost with a leader or a process.
 */
import { PartitionWatch } from '../detect/partition.ts';
import type { ReplicatedMachine } from '../machine/api.ts';
import { sidelined } from '../machine/availability/view.ts';
import type { Command } from '../machine/types.ts';
import type { Raft } from '../raft/raft.ts';
import type { Configuration, Effect, Input, PlacedConfiguration, RefusalReason } from '../raft/types.ts';
import { unreachable } from '../types/assert.ts';
import type { ClusterTimeMs, LogIndex, MemberId, StreamId } from '../types/ids.ts';
import { AvailabilityDuties, availabilityAlarms } from './availability-duties.ts';
import { compactTo } from './compaction.ts';
import { DivergedError } from './diverged.ts';
import type { ImageSender } from './image-sender.ts';
import { LearnerWatch, nextStep, untoldRemoval } from './membership.ts';
import type { Mutations } from './mutations.ts';
import type { MemberDeps } from './options.ts';
import { StateHashes } from './state-hashes.ts';
import type { StoreWriter } from './store-writer.ts';
import type { Alarm } from './types.ts';

export type DutyEffect = Extract<Effect, { kind: 'configurationChanged' | 'recovered' | 'recoveryImpossible' }>;

export interface DutiesOptions {
  readonly deps: MemberDeps;
  readonly stream: StreamId;
  readonly raft: Raft;
  readonly machine: () => ReplicatedMachine;
  readonly writer: StoreWriter;
  readonly sender: ImageSender;
  readonly mutations: Mutations;
  readonly now: () => ClusterTimeMs;
  readonly nextProposalId: () => number;
  readonly input: (input: Input) => void;
  /** Resolves with whether everything appended so far is durable. */
  readonly drained: () => Promise<boolean>;
  readonly onFatal: (error: Error) => void;
}

export class GroupDuties {
  readonly #options: DutiesOptions;
  readonly #learners = new LearnerWatch();
  readonly #hashes: StateHashes;
  /** Whether this member is cut off (D5). */
  readonly partition: PartitionWatch;
  readonly availability: AvailabilityDuties;
  #timerProposed = false;
  /** Proposal of a configuration whose answer is awaited. */
  #configurationProposal: number | null = null;
  /** A command on the leader's own account that is not applied yet. */
  #commandProposed = false;
  #levelsSinceMs: number | null = null;
  #periodMs = 0;
  #compacting = false;
  #probing = false;
  #full = false;
  #recovering: boolean;
  #wasMember: boolean;
  /** The configuration in force is committed, and without this member, which was in one before. */
  #outside = false;
  #removed = false;

  constructor(options: DutiesOptions) {
    this.#options = options;
    const { deps, raft } = options;
    this.#hashes = new StateHashes(deps.memberId);
    this.availability = new AvailabilityDuties(options);
    const { partitionMs, electionTicks, tickMs } = deps.settings;
    this.partition = new PartitionWatch(partitionMs, electionTicks * tickMs);
    this.#recovering = deps.recovering;
    this.#wasMember = isIn(raft.configuration.configuration, deps.memberId);
  }

  /** This member was removed, and that is committed. */
  get removed(): boolean {
    return this.#removed;
  }

  alarms(): readonly Alarm[] {
    const alarms: Alarm[] = [];
    if (this.#full) alarms.push('NO_SPACE');
    if (this.#recovering) alarms.push('RECOVERING');
    if (this.partition.partitioned) alarms.push('PARTITIONED');
    return [...alarms, ...availabilityAlarms(this.#options.machine())];
  }

  // ------------------------------------------------------------------------------------------ called by the group

  tick(nowMs: number): void {
    this.#notePartition(nowMs);
    this.availability.tick(nowMs);
    this.#noteSpace();
    this.#judgeRemoval();
    this.#proposeDueTimers();
    const { raft, deps } = this.#options;
    if (raft.role === 'leader') {
      this.#learners.observe(raft.status(), deps.settings.promoteLagEntries, nowMs);
      this.#reconcile(nowMs);
    }
    if (nowMs - this.#periodMs < this.#options.deps.settings.dutyPeriodMs) return;
    this.#periodMs = nowMs;
    this.#probeSpace();
    this.#compact();
    if (raft.role !== 'leader') return;
    this.#askForHashes();
    this.#raiseFeatureLevel(nowMs);
  }

  roleChanged(leads: boolean): void {
    if (leads) this.partition.elected();
    this.#learners.clear();
    this.#levelsSinceMs = null;
  }

  /** True: the proposal was one of these duties. `reason` null: it was appended. */
  proposalSettled(proposalId: number, _reason: RefusalReason | null): boolean {
    if (proposalId !== this.#configurationProposal) return false;
    this.#configurationProposal = null;
    return true;
  }

  applied(index: LogIndex, command: Command | null): void {
    if (command?.body.kind === 'changeMembers') this.membersChanged();
    if (command?.body.kind === 'setFeatureLevel') this.#checkFeatureLevel();
    if (this.#hashes.due(index)) this.#sendHash(index);
  }

  restored(): void {
    this.#checkFeatureLevel();
    this.membersChanged();
  }

  /** Addresses and names may have changed. */
  membersChanged(): void {
    const { deps, machine, raft } = this.#options;
    deps.onMembers?.(machine().members(), raft.configuration);
  }

  effect(effect: DutyEffect): void {
    switch (effect.kind) {
      case 'configurationChanged':
        this.#configurationChanged(effect.placed, effect.committed);
        return;
      case 'recovered':
        this.#recovered(effect.index);
        return;
      case 'recoveryImpossible':
        this.#options.onFatal(majorityDamaged(effect.members));
        return;
      default:
        unreachable(effect, 'effect');
    }
  }

  // ------------------------------------------------------------------------------------------ membership

  #configurationChanged(placed: PlacedConfiguration, committed: boolean): void {
    const { deps } = this.#options;
    const inside = isIn(placed.configuration, deps.memberId);
    if (inside) this.#wasMember = true;
    this.membersChanged();
    deps.onNotice?.({ kind: 'configuration', placed, committed });
    this.#outside = !inside && committed && this.#wasMember;
    this.#judgeRemoval();
  }

  /**
   * One that catches up may just read how an earlier member of its id was removed; the entry that adds this one comes later. Looked
   * at again with each tick.
   */
  #judgeRemoval(): void {
    const { deps, raft } = this.#options;
    if (!this.#outside || this.#removed || raft.catchingUp) return;
    this.#removed = true;
    deps.onRemoved?.();
  }

  #reconcile(nowMs: number): void {
    const { deps, raft, machine, nextProposalId, input } = this.#options;
    if (this.#configurationProposal !== null) return;
    const rows = machine().members();
    const slow = sidelined(machine());
    if (rows.length + slow.lagging.size + raft.configuration.configuration.learners.length === 0) return;
    const forMs = deps.settings.electionTicks * deps.settings.tickMs;
    const status = raft.status();
    const step = nextStep(status, rows, (learner) => this.#learners.ready(learner, nowMs, forMs), slow);
    if (step === null) {
      this.#tidyReplaced();
      return;
    }
    const proposalId = nextProposalId();
    this.#configurationProposal = proposalId;
    input({ kind: 'changeConfiguration', proposalId, ...step });
  }

  /** A member that was replaced, and is out, gets its row: it is told that it was removed should it come back. */
  #tidyReplaced(): void {
    const { raft, machine } = this.#options;
    if (this.#commandProposed || raft.configuration.index > raft.commitIndex) return;
    const member = untoldRemoval(raft.status(), machine().members());
    if (member === null) return;
    this.#proposeOwn({ kind: 'changeMembers', changes: [{ kind: 'remove', member }] });
  }

  #proposeOwn(body: Command['body']): void {
    this.#commandProposed = true;
    this.#options.mutations.proposeOwn(body, () => {
      this.#commandProposed = false;
    });
  }

  // ------------------------------------------------------------------------------------------ feature levels (R9)

  #raiseFeatureLevel(nowMs: number): void {
    const { deps, raft, machine } = this.#options;
    const { level, pinned } = machine().featureLevel();
    const { voters, learners, votersOutgoing } = raft.configuration.configuration;
    const announced = deps.peerFeatureLevels();
    let supported = deps.featureLevelMax;
    for (const member of new Set([...voters, ...learners, ...votersOutgoing])) {
      if (member !== deps.memberId) supported = Math.min(supported, announced.get(member) ?? 0);
    }
    if (pinned || supported <= level || this.#commandProposed) {
      this.#levelsSinceMs = null;
      return;
    }
    // For two periods in a row: a member that is just being exchanged for an older one is not caught in between.
    this.#levelsSinceMs ??= nowMs;
    if (nowMs - this.#levelsSinceMs < deps.settings.dutyPeriodMs) return;
    this.#proposeOwn({ kind: 'setFeatureLevel', level: supported, pinned: false });
  }

  #checkFeatureLevel(): void {
    const { deps, machine, onFatal } = this.#options;
    const { level } = machine().featureLevel();
    deps.onNotice?.({ kind: 'featureLevel', level });
    if (level > deps.featureLevelMax) onFatal(levelTooHigh(level, deps.featureLevelMax));
  }

  // ------------------------------------------------------------------------------------------ state hashes (R7)

  #askForHashes(): void {
    const { deps, stream, raft } = this.#options;
    // Also when nothing was appended since: a member that was started meanwhile is compared although the cluster is idle.
    const index = raft.lastIndex;
    for (const peer of this.#others()) deps.network.send(peer, { kind: 'stateHash', stream, index, hash: null });
    this.#wantHash(index);
  }

  #wantHash(index: LogIndex): void {
    const { appliedIndex } = this.#options.machine();
    if (appliedIndex === index) this.#sendHash(index);
    else if (appliedIndex < index) this.#hashes.want(index);
  }

  #sendHash(index: LogIndex): void {
    const { deps, stream, machine } = this.#options;
    const hash = machine().stateHash();
    for (const peer of this.#others()) deps.network.send(peer, { kind: 'stateHash', stream, index, hash });
    this.#judge(index, deps.memberId, hash);
  }

  stateHash(from: MemberId, index: LogIndex, hash: string | null): void {
    if (hash === null) this.#wantHash(index);
    else this.#judge(index, from, hash);
  }

  #judge(index: LogIndex, member: MemberId, hash: string): void {
    const { deps, raft, onFatal } = this.#options;
    const verdict = this.#hashes.report(index, member, hash, raft.configuration.configuration);
    if (verdict.kind === 'odd') onFatal(new DivergedError(index, verdict.hash, verdict.majorityHash));
    else if (verdict.kind === 'other') deps.onNotice?.({ ...verdict, kind: 'diverged' });
  }

  #others(): readonly MemberId[] {
    const { raft, deps } = this.#options;
    const { voters, learners, votersOutgoing } = raft.configuration.configuration;
    const all = new Set([...voters, ...learners, ...votersOutgoing]);
    all.delete(deps.memberId);
    return [...all].sort();
  }

  // ------------------------------------------------------------------------------------------ timers of the state

  /** Time is data: when a timer of the state is due, the leader says so in the log (architecture, decision 4). */
  #proposeDueTimers(): void {
    const { raft, machine, now, mutations } = this.#options;
    if (raft.role !== 'leader' || this.#timerProposed) return;
    const dueMs = machine().nextTimerMs();
    if (dueMs === null || dueMs > now()) return;
    this.#timerProposed = true;
    mutations.proposeOwn({ kind: 'advanceTime' }, () => {
      this.#timerProposed = false;
    });
  }

  // ------------------------------------------------------------------------------------------ the log and the disk

  #compact(): void {
    const { deps, stream, raft, writer, sender } = this.#options;
    if (this.#compacting || sender.opening || this.#recovering) return;
    const upTo = compactTo(
      { keepBytes: deps.settings.logKeepBytes, keepSlowBytes: deps.settings.logKeepSlowBytes },
      {
        status: raft.status(),
        storedIndex: writer.storedIndex,
        transfers: sender.marks,
        bytesAfter: (index) => deps.wal.bytesAfter(stream, index),
      },
    );
    if (upTo === null) return;
    this.#compacting = true;
    this.#cut(upTo).then(
      () => {
        this.#compacting = false;
      },
      (error: unknown) => this.#options.onFatal(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** What the store has must be durable before the log that could bring it back goes (known-bugs S3). */
  async #cut(upTo: LogIndex): Promise<void> {
    const { deps, stream, input, raft } = this.#options;
    await deps.store.sync();
    const kept = (await deps.wal.compact(new Map([[stream, upTo]]))).get(stream);
    if (kept === undefined || kept <= raft.firstIndex) return;
    input({ kind: 'compacted', index: (kept - 1) as LogIndex });
    deps.onNotice?.({ kind: 'compacted', firstIndex: kept });
  }

  #notePartition(nowMs: number): void {
    const { deps, raft } = this.#options;
    const { contactTick, lastIndex, role } = raft;
    const before = this.partition.partitioned;
    this.partition.observe({ nowMs, contactTick, lastIndex, leading: role === 'leader' });
    const { partitioned, durationMs: silentMs } = this.partition;
    if (partitioned !== before) deps.onNotice?.({ kind: partitioned ? 'partitioned' : 'partitionOver', silentMs });
  }

  /** W5: without room, the core takes nothing of clients. */
  #noteSpace(): void {
    const { deps, writer, input } = this.#options;
    const full = deps.wal.spaceLow || writer.noSpace;
    if (full === this.#full) return;
    this.#full = full;
    deps.onNotice?.(full ? { kind: 'noSpace', since: deps.wal.spaceLow ? 'log' : 'store' } : { kind: 'spaceBack' });
    input({ kind: 'storageFull', full });
  }

  #probeSpace(): void {
    const { deps, writer } = this.#options;
    if (!this.#full || this.#probing) return;
    this.#probing = true;
    const probe = async (): Promise<void> => {
      await deps.wal.probeSpace();
      await writer.retry();
    };
    probe()
      .catch((error: unknown) => this.#options.onFatal(error instanceof Error ? error : new Error(String(error))))
      .finally(() => {
        this.#probing = false;
      });
  }

  #recovered(index: LogIndex): void {
    const { deps, onFatal } = this.#options;
    const done = deps.onRecovered?.() ?? Promise.resolve();
    done.then(
      () => {
        this.#recovering = false;
        deps.onNotice?.({ kind: 'recovered', index });
      },
      (error: unknown) => onFatal(error instanceof Error ? error : new Error(String(error))),
    );
  }
}

function isIn({ voters, votersOutgoing, learners }: Configuration, member: MemberId): boolean {
  return voters.includes(member) || votersOutgoing.includes(member) || learners.includes(member);
}

function majorityDamaged(members: readonly MemberId[]): Error {
  return new Error(
    `a majority of the members (${members.join(', ')}) has lost parts of its log: nobody can tell what was acknowledged. ` +
      'Nothing is served. Put intact data folders back, or restore a backup into a new cluster (quorate restore)',
  );
}

export function levelTooHigh(level: number, levelMax: number): Error {
  return new Error(
    `the cluster works at feature level ${level}, this member knows ${levelMax} at most: start a version of quorate that ` +
      'knows it, or raise the setting featureLevelMax',
  );
}
