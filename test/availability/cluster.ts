/** Real members in one process, over disks and a clock that the test moves: for the availability rules, end to end. */
import { LAG_RULES, type LagRules } from '../../src/availability/lag.ts';
import { AvailabilityWork } from '../../src/availability/work.ts';
import { decodeConfiguration } from '../../src/codec/configuration.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { AckTimes } from '../../src/node/ack-times.ts';
import { Member } from '../../src/node/member.ts';
import { DEFAULT_MEMBER_SETTINGS, type MemberDeps, type MemberSettings } from '../../src/node/options.ts';
import type { Envelope, MutationOutcome } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { systemRandom } from '../../src/server/system-ports.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import type { Storage } from '../../src/storage/types.ts';
import { must } from '../../src/types/assert.ts';
import { clusterId, type MemberId, memberId } from '../../src/types/ids.ts';
import { MemoryStore, MemoryStoreData } from '../store/memory-store.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { flush, STREAM } from '../wal/support.ts';

const LEVEL = 3;
const STEP_MS = 10;
export const RULES: LagRules = {
  ...LAG_RULES,
  leaderFloorMs: 20,
  windowMs: 4_000,
  holdMs: 1_000,
  returnMs: 2_000,
  quietMs: 6_000,
};
const SETTINGS: MemberSettings = { ...DEFAULT_MEMBER_SETTINGS, dutyPeriodMs: 200 };

class HandClock implements Clock {
  nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  defer(callback: () => void): void {
    setImmediate(callback);
  }
  advance(ms: number): void {
    this.nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs).sort((x, y) => x.atMs - y.atMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
    for (const { callback } of due) callback();
  }
}

/** One member: its disk outlives its process. */
export class Node {
  readonly id: MemberId;
  readonly disk = new MemoryDisk();
  readonly #data = new MemoryStoreData();
  /** What an fsync of the log takes, milliseconds. */
  fsyncMs = 0;
  /** Nothing comes or goes. */
  cut = false;
  member: Member | null = null;
  storage: Storage | null = null;

  constructor(id: MemberId, clock: Clock) {
    this.id = id;
    this.disk.before = (operation, path) => {
      if (operation !== 'sync' || !path.startsWith('wal/') || this.fsyncMs === 0) return undefined;
      return new Promise((resolve) => clock.after(this.fsyncMs, resolve));
    };
  }

  async start(cluster: Cluster): Promise<Storage> {
    const wal = {
      clusterId: clusterId('cluster'),
      memberId: this.id,
      segmentBytes: 256 * 1024,
      compressBytesMin: 1 << 20,
    };
    const { clock } = cluster;
    const founding = { voters: cluster.nodes.map(({ id }) => id), votersOutgoing: [], learners: [] };
    const storage = await openStorage({
      root: this.disk.process(),
      logFolder: 'wal',
      clock,
      wal: { ...wal, decodeConfiguration },
      streams: [STREAM],
      founding,
      openStore: async () => new MemoryStore(this.#data),
      moveStoreAside: async () => undefined,
    });
    this.storage = storage;
    const ackTimes = new AckTimes();
    const handOver = (to: MemberId): void => void this.member?.transferLeadership(STREAM, to);
    const deps: MemberDeps = {
      clusterId: clusterId('cluster'),
      memberId: this.id,
      initialConfiguration: founding,
      recovering: storage.recovering,
      featureLevelMax: LEVEL,
      peerFeatureLevels: () => new Map(cluster.nodes.map(({ id }) => [id, LEVEL])),
      streams: [STREAM],
      clock,
      random: systemRandom,
      wal: storage.wal,
      store: storage.store,
      network: { send: (to, envelope) => cluster.send(this.id, to, envelope) },
      settings: SETTINGS,
      leaderWorks: () => [new AvailabilityWork({ ackTimes, handOver, rules: RULES })],
      ackTimes,
      asyncMark: storage.asyncMark,
      onRecovered: () => storage.finishRecovery(),
      onFatal: (error) => cluster.fatal.push(error),
    };
    this.member = await Member.open(deps);
    this.member.start();
    return storage;
  }

  /** The power goes: what was not synced is lost. */
  crash(): void {
    const dead = this.member;
    this.member = null;
    this.disk.crash(() => false);
    void dead?.stop();
  }
}

export class Cluster {
  readonly clock = new HandClock();
  readonly fatal: Error[] = [];
  readonly nodes: readonly Node[];
  #loops = 0;
  /** Loops whose creation was acknowledged. */
  readonly acknowledged = new Set<string>();

  constructor(names: string) {
    this.nodes = [...names].map((name) => new Node(memberId(name), this.clock));
  }

  static async start(names: string): Promise<Cluster> {
    const cluster = new Cluster(names);
    for (const node of cluster.nodes) await node.start(cluster);
    await cluster.until(
      'the feature level rises',
      () => cluster.leader()?.member?.status(STREAM).featureLevel === LEVEL,
    );
    return cluster;
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) node.fsyncMs = 0;
    const stopping = Promise.all(this.nodes.map((node) => node.member?.stop()));
    let stopped = false;
    void stopping.then(() => {
      stopped = true;
    });
    while (!stopped) await this.step();
    for (const { storage, member } of this.nodes) if (member !== null) await storage?.wal.close();
  }

  node(id: string): Node {
    return must(
      this.nodes.find((one) => one.id === id),
      `there is a node ${id}`,
    );
  }

  send(from: MemberId, to: MemberId, envelope: Envelope): boolean {
    const [source, target] = [this.node(from), this.node(to)];
    if (source.cut || target.cut) return false;
    setImmediate(() => {
      if (!source.cut && !target.cut) target.member?.receive(from, envelope);
    });
    return true;
  }

  async step(): Promise<void> {
    this.clock.advance(STEP_MS);
    for (let turn = 0; turn < 4; turn += 1) await flush();
  }

  async until(what: string, holds: () => boolean, forMs = 60_000, meanwhile?: () => void): Promise<void> {
    const endMs = this.clock.nowMs + forMs;
    while (!holds()) {
      if (this.clock.nowMs >= endMs) throw new Error(`waited for ${forMs} ms: ${what}`);
      meanwhile?.();
      await this.step();
    }
  }

  async run(forMs: number, meanwhile?: () => void): Promise<void> {
    const endMs = this.clock.nowMs + forMs;
    await this.until('time passes', () => this.clock.nowMs >= endMs, forMs + STEP_MS, meanwhile);
  }

  leader(): Node | null {
    const leaders = this.nodes.filter(({ member, cut }) => !cut && member?.status(STREAM).raft.role === 'leader');
    leaders.sort((x, y) => this.#term(y) - this.#term(x));
    return leaders[0] ?? null;
  }

  #term({ member }: Node): number {
    return member?.status(STREAM).raft.term ?? 0;
  }

  followers(): readonly Node[] {
    const leader = this.leader();
    return this.nodes.filter((node) => node !== leader);
  }

  /** As the leader has it; null while there is none. */
  configuration(): { readonly voters: readonly string[]; readonly learners: readonly string[] } | null {
    const raft = this.leader()?.member?.status(STREAM).raft;
    if (raft === undefined || raft.configuration.votersOutgoing.length > 0) return null;
    return raft.configurationIndex <= raft.commitIndex ? raft.configuration : null;
  }

  mutate(body: CommandBody): Promise<MutationOutcome> {
    const member = must(this.leader()?.member, 'there is a leader');
    return member.mutate(STREAM, { session: null, caller: 'test', traceId: '', body }, 30_000);
  }

  /** A loop more, as soon as it is acknowledged. */
  write(): void {
    if (this.leader() === null) return;
    this.#loops += 1;
    const loop = `loop-${this.#loops}`;
    void this.mutate({ kind: 'createLoop', loop, plan: '' }).then((outcome) => {
      if (outcome.kind === 'applied' && outcome.result.ok) this.acknowledged.add(loop);
    });
  }

  /** Waits for the answer while time goes on. */
  async carriedOut(body: CommandBody): Promise<void> {
    let outcome: MutationOutcome | null = null;
    void this.mutate(body).then((answer) => {
      outcome = answer;
    });
    await this.until(`${body.kind} is answered`, () => outcome !== null);
    const answer = outcome as MutationOutcome | null;
    if (answer?.kind !== 'applied' || !answer.result.ok) throw new Error(`refused: ${JSON.stringify(answer)}`);
  }
}
