/**
 * A machine of the cluster: disk, store and clocks, which outlive processes, and the process that runs on it now,
 * which is the real member over the real log.
 */

import type { MachineView } from '../../../src/machine/api.ts';
import { StateError } from '../../../src/machine/loader.ts';
import { Member } from '../../../src/node/member.ts';
import type { MemberDeps, Notice } from '../../../src/node/options.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { TraceEvent } from '../../../src/raft/trace.ts';
import type { Entry, RaftStatus, SnapshotMark } from '../../../src/raft/types.ts';
import type { Store } from '../../../src/store/types.ts';
import { DATA_STREAM, type MemberId, type StreamId } from '../../../src/types/ids.ts';
import type { Wal, WalAppend } from '../../../src/wal/types.ts';
import type { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { SimClock, type SimWallClock } from '../ports/clock.ts';
import { SimDisk } from '../ports/disk.ts';
import type { NetworkNode, SimNetwork } from '../ports/network.ts';
import type { Step, StepKind } from '../ports/steps.ts';
import { SimStoreDisk } from '../ports/store.ts';
import { DurableView } from '../wal/durable-view.ts';
import type { Founding } from './founding.ts';
import type { Works } from './leader-works.ts';
import { CLUSTER, openSimStorage } from './storage.ts';
import { baseOf, NO_BASE, type Tag, TrackedLog, tagOf } from './tracked-log.ts';

export interface MemberEvents {
  /** Carries out a step that changes what is on the member's disk. */
  step<T>(member: SimMember, kind: StepKind, detail: string, effect: () => T): T;
  walAppend(member: SimMember, append: WalAppend, tags: readonly Tag[]): void;
  applied(member: SimMember, entry: Entry, view: MachineView): void;
  booted(member: SimMember): void;
  loaded(member: SimMember, view: MachineView): void;
  walReset(member: SimMember, mark: SnapshotMark, keepEntries: boolean): void;
  restored(member: SimMember, mark: SnapshotMark, view: MachineView): void;
  noticed(member: SimMember, notice: Notice): void;
  /** The core took a rare branch. */
  marked(name: string): void;
  /** What the member does while it leads. */
  works(member: SimMember, process: Process, clock: SimClock): Works;
  /** The process said that it cannot go on, or could not start. */
  failed(member: SimMember, process: Process, error: unknown): void;
}

/** One life of a member. */
export class Process implements Owner {
  alive = true;
  pausedUntilUs = 0;
  touched = false;
  /** null until the log and the store are open. */
  member: Member | null = null;
  wal: Wal | null = null;
  store: Store | null = null;
  works: Works | null = null;
  stopping = false;
  /** The cluster told it that it was removed. */
  removed = false;

  async close(): Promise<void> {
    this.works?.close();
    await this.store?.close();
    await this.wal?.close();
  }
}

export class SimMember implements NetworkNode {
  /** What its consensus core did, over all its lives, for `checkTrace`. */
  readonly trace: TraceEvent[] = [];
  readonly id: MemberId;
  readonly position: number;
  readonly disk: SimDisk;
  readonly store: SimStoreDisk;
  readonly wall: SimWallClock;
  /** The log as the member handed it to its disk, durable or not. */
  readonly log = new TrackedLog();
  readonly durable: DurableView;
  /** What was durable when the last process died. */
  readonly survivor = { log: new TrackedLog(), term: 0, votedFor: null as string | null };
  process: Process | null = null;
  /** Its storage lost or spoilt something, and it has not everything back yet. */
  damaged = false;
  wasDamaged = false;
  /** Its storage cannot be used again: it stays down, and another machine takes its place. */
  lost = false;
  /** What it suffers from when the run heals is not healed: nobody waits for it. */
  abandoned = false;
  /** Began with the release before. */
  upgraded = false;
  /** It is never started again. */
  dead = false;
  /** The folder of another member stands where its own belongs. */
  swapped = false;
  /** It was started to be added to a cluster that exists. */
  readonly joins: boolean;
  /** Feature level of its release; rises with an upgrade, at a restart. */
  featureLevelMax: number;
  /** Status after the last event of this process. */
  lastStatus: RaftStatus | null = null;
  starts = 0;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #options: SimOptions;
  readonly #network: SimNetwork;
  readonly #events: MemberEvents;
  readonly #founding: Founding;
  readonly #levels: () => ReadonlyMap<MemberId, number>;
  readonly #ratePermille: number;

  constructor(deps: {
    readonly world: World;
    readonly prng: Prng;
    readonly options: SimOptions;
    readonly network: SimNetwork;
    readonly events: MemberEvents;
    /** Empty: it waits to be added. */
    readonly founding: Founding;
    readonly featureLevelMax: number;
    /** Levels that the others announced. */
    readonly levels: (self: SimMember) => ReadonlyMap<MemberId, number>;
    readonly position: number;
    readonly id: MemberId;
    readonly wall: SimWallClock;
    readonly diskPrng: Prng;
  }) {
    this.id = deps.id;
    this.position = deps.position;
    this.#world = deps.world;
    this.#prng = deps.prng;
    this.#options = deps.options;
    this.#network = deps.network;
    this.#events = deps.events;
    this.#founding = deps.founding;
    this.joins = deps.founding.voters.length === 0;
    this.featureLevelMax = deps.featureLevelMax;
    this.#levels = () => deps.levels(this);
    this.wall = deps.wall;
    this.disk = new SimDisk(deps.world, deps.diskPrng, deps.options.disk);
    this.store = new SimStoreDisk(deps.world, deps.diskPrng);
    const step: Step = (kind, detail, effect) => this.#events.step(this, kind, detail, effect);
    this.disk.step = step;
    this.store.step = step;
    this.durable = new DurableView(() => this.disk.durableFiles());
    const drift = deps.options.clock.driftPermille;
    this.#ratePermille = 1000 + deps.prng.between(-drift, drift);
    deps.network.attach(this);
  }

  get owner(): Owner | null {
    return this.process;
  }

  /** The running member, or null while it is down or still opening. */
  get running(): Member | null {
    const process = this.process;
    return process?.alive === true && !process.stopping ? process.member : null;
  }

  /** So many milliseconds of its monotonic clock in true time, microseconds. */
  trueUs(ownMs: number): number {
    return (ownMs * 1_000_000) / this.#ratePermille;
  }

  status(): RaftStatus | null {
    return this.process?.alive === true ? (this.process.member?.raftStatus(DATA_STREAM) ?? null) : null;
  }

  receive(from: MemberId, envelope: Envelope): void {
    const process = this.process;
    if (process?.member == null) return;
    process.touched = true;
    process.member.receive(from, envelope);
  }

  unreachable(peer: MemberId): void {
    this.process?.member?.unreachable(peer);
  }

  // ------------------------------------------------------------------------------------------ life

  /** Starts a process on what the disk holds. */
  boot(): void {
    if (this.process !== null || this.dead) return;
    this.starts += 1;
    this.#upgrade();
    this.lastStatus = null;
    const process = new Process();
    this.process = process;
    this.#world.note(this.id, 'boot', this.starts, 0, 0);
    this.#open(process).catch((error: unknown) => {
      if (process.alive) this.#events.failed(this, process, error);
    });
  }

  /** Not at the first start: that is the old release then. */
  #upgrade(): void {
    const { upgradePermille, releaseLevel } = this.#options.membership;
    if (this.starts === 1 || this.featureLevelMax >= releaseLevel || !this.#prng.chance(upgradePermille)) return;
    this.featureLevelMax = releaseLevel;
    this.upgraded = true;
  }

  /** Tables that do not add up are damage, and the store is opened anew without them. */
  async #open(process: Process): Promise<void> {
    try {
      await this.#openWith(process, null);
    } catch (error) {
      if (!process.alive || !(error instanceof StateError)) throw error;
      this.#world.note(this.id, 'bad tables', 0, 0, 0, error.message);
      await process.close();
      await this.#openWith(process, error);
    }
  }

  async #openWith(process: Process, storeProblem: Error | null): Promise<void> {
    const world = this.#world;
    const options = this.#options;
    const clock = new SimClock(world, this.wall, process, this.#ratePermille);
    const opened = await openSimStorage({
      member: this.id,
      disk: this.disk,
      store: this.store,
      owner: process,
      clock,
      options,
      storeProblem,
      founding: this.#founding,
    });
    const { wal, store } = opened;
    process.wal = wal;
    process.store = store;
    const { kind, problem } = opened.report;
    if (kind !== 'sound') world.note(this.id, kind, 0, 0, 0, problem?.message ?? '');
    this.#recover();
    const works = this.#events.works(this, process, clock);
    process.works = works;
    const deps: MemberDeps = {
      leaderWorks: () => works.works,
      clusterId: CLUSTER,
      memberId: this.id,
      initialConfiguration: this.#founding,
      recovering: opened.recovering,
      featureLevelMax: this.featureLevelMax,
      peerFeatureLevels: this.#levels,
      streams: [DATA_STREAM],
      clock,
      random: this.#prng,
      wal: this.#observe(wal),
      store,
      network: {
        send: (to, envelope) => {
          if (process.alive) this.#network.send(this.id, to, envelope);
          return true;
        },
      },
      settings: options.settings,
      onFatal: (error) => {
        if (process.alive) this.#events.failed(this, process, error);
      },
      onTrace: (_stream: StreamId, event: TraceEvent) => {
        if (event.kind === 'mark') this.#events.marked(event.name);
        else this.trace.push(event);
      },
      onRecovered: () => opened.finishRecovery(),
      onRemoved: () => {
        process.removed = true;
      },
      onNotice: (notice) => this.#events.noticed(this, notice),
      onRestored: (_stream: StreamId, mark: SnapshotMark, view: MachineView) => this.#events.restored(this, mark, view),
      onApplied: (_stream: StreamId, entry: Entry, view: MachineView) => this.#events.applied(this, entry, view),
    };
    const member = await Member.open(deps);
    process.member = member;
    process.touched = true;
    this.#events.booted(this);
    this.#events.loaded(this, member.local(DATA_STREAM));
    member.start();
    world.note(this.id, 'started', this.log.lastIndex, this.log.lastTerm, 0);
  }

  /** What the log has recovered is what is durable now; what was only in the page cache had to be made so. */
  #recover(): void {
    this.durable.reset();
    this.durable.refresh();
    this.log.assign(this.durable.log);
  }

  #observe(wal: Wal): Wal {
    return {
      get streams() {
        return wal.streams;
      },
      get newestSegment() {
        return wal.newestSegment;
      },
      get spaceLow() {
        return wal.spaceLow;
      },
      bootstrap: (stream, configuration) => {
        this.log.rebase({ ...NO_BASE, group: configuration }, false);
        return wal.bootstrap(stream, configuration);
      },
      start: (stream, hardState, mark) => {
        this.log.rebase(baseOf(mark), false);
        return wal.start(stream, hardState, mark);
      },
      reset: (stream, mark, keepEntries) => {
        this.#events.walReset(this, mark, keepEntries);
        this.log.rebase(baseOf(mark), keepEntries);
        return wal.reset(stream, mark, keepEntries);
      },
      compact: (upTo) => wal.compact(upTo),
      bytesAfter: (stream, index) => wal.bytesAfter(stream, index),
      probeSpace: () => wal.probeSpace(),
      append: (append) => {
        const tags = append.entries.map(tagOf);
        this.#events.walAppend(this, append, tags);
        const first = append.entries[0];
        if (first !== undefined) this.log.replace(first.index, tags);
        return wal.append(append);
      },
      read: (stream, from, to, bytesMax) => wal.read(stream, from, to, bytesMax),
      waitForRoom: (wait) => wal.waitForRoom(wait),
      close: () => wal.close(),
    };
  }

  /** The power goes. `kept`: how much of what was not synced survives, in thousandths; null: drawn. */
  crash(kept: number | null = null): void {
    this.#die();
    this.disk.crash(kept);
    this.store.crash(kept);
    this.durable.reset();
  }

  /** SIGKILL: what the process wrote stays in the page cache. */
  kill(): void {
    this.#die();
    this.disk.kill();
  }

  /** A clean stop, as on SIGTERM. The process is gone when the promise resolves, if nothing killed it before. */
  async stop(): Promise<void> {
    const process = this.process;
    if (process?.member == null || process.stopping) return;
    process.stopping = true;
    await process.member.stop();
    await process.close();
    if (this.process === process) this.kill();
  }

  pause(untilUs: number): void {
    if (this.process !== null) this.process.pausedUntilUs = untilUs;
  }

  /** Nobody can count on what its disk holds now. */
  get unreliable(): boolean {
    return this.damaged || this.swapped;
  }

  /** The disk is another than it was: what it holds now is what the member is held to. */
  storageChanged(): void {
    this.durable.reset();
    this.#survive();
  }

  #die(): void {
    if (this.process === null) return;
    this.#survive();
    this.process.alive = false;
    this.process = null;
    this.lastStatus = null;
  }

  #survive(): void {
    this.durable.refresh();
    this.survivor.log.assign(this.durable.log);
    this.survivor.term = this.durable.term;
    this.survivor.votedFor = this.durable.votedFor;
  }
}
