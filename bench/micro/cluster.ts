/**
 * Three members in one process, on disks in memory and over a network that hands bytes over: everything that a command passes but
 * the client port, LevelDB and the kernel. Time moves only when it is told to, so that each run does the same.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { decodeConfiguration } from '../../src/codec/configuration.ts';
import { fromPeerEnvelope, toPeerEnvelope } from '../../src/codec/envelope.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { CommandBody, CommandValue } from '../../src/machine/types.ts';
import { Member } from '../../src/node/member.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import type { Envelope } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { must } from '../../src/types/assert.ts';
import { clusterId, DATA_STREAM, type FencingToken, type MemberId, memberId } from '../../src/types/ids.ts';
import { openWal } from '../../src/wal/wal.ts';
import { MemoryStore } from '../../test/store/memory-store.ts';
import { PlainDisk } from './plain-disk.ts';

const IDS = ['a', 'b', 'c'].map(memberId);
const FEATURE_LEVEL = 3;
const LOOPS = 64;
const DAY_MS = 24 * 60 * 60 * 1_000;
const DEADLINE_MS = 60_000;
const NOTE = 'x'.repeat(128);
const MiB = 2 ** 20;
/** Short logs: what a run holds in memory stays the same however long it takes. */
const SETTINGS = { ...DEFAULT_MEMBER_SETTINGS, logKeepBytes: 2 * MiB, logKeepSlowBytes: 2 * MiB };
const SEGMENT_BYTES = MiB;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class StepClock implements Clock {
  #nowMs = 1_700_000_000_000;
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  wallMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  defer(callback: () => void): void {
    setImmediate(callback);
  }
  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.#nowMs);
    for (const { callback } of due) callback();
  }
}

/** A generator of its own for each member, so that they do not campaign at the same moment. */
function randomOf(seed: number): { below(bound: number): number } {
  let state = seed;
  return {
    below: (bound) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    },
  };
}

export class MicroCluster {
  readonly #clock = new StepClock();
  readonly #members = new Map<MemberId, Member>();
  #leader: Member | null = null;
  #progress: readonly CommandBody[] = [];
  #next = 0;
  /** Messages that were sent and have not arrived. */
  #underWay = 0;

  /** With a leader, and phases that run. */
  static async open(): Promise<MicroCluster> {
    const cluster = new MicroCluster();
    for (const [i, id] of IDS.entries()) await cluster.#add(id, i + 1);
    for (const member of cluster.#members.values()) member.start();
    await cluster.#settle();
    await cluster.#begin();
    return cluster;
  }

  /** Carries out so many commands that report progress, all at once. */
  async run(count: number): Promise<void> {
    const leader = must(this.#leader, 'there is a leader');
    const outcomes = [];
    for (let i = 0; i < count; i += 1) {
      const body = must(this.#progress[this.#next % LOOPS], 'a command');
      this.#next += 1;
      outcomes.push(leader.mutate(DATA_STREAM, { session: null, caller: 'bench', traceId: '', body }, DEADLINE_MS));
    }
    for (const outcome of await Promise.all(outcomes)) {
      if (outcome.kind !== 'applied' || !outcome.result.ok) throw new Error(`not applied: ${JSON.stringify(outcome)}`);
    }
    this.#clock.pass(1);
    await this.#quiet();
  }

  /** What followers still do belongs to the commands before, and not to whatever is measured next. */
  async #quiet(): Promise<void> {
    do await turn();
    while (this.#underWay > 0);
    await turn();
  }

  async #add(id: MemberId, seed: number): Promise<void> {
    const options = {
      clusterId: clusterId('bench'),
      memberId: id,
      segmentBytes: SEGMENT_BYTES,
      compressBytesMin: 1_024,
    };
    const member = await Member.open({
      clusterId: options.clusterId,
      memberId: id,
      initialConfiguration: { voters: IDS, votersOutgoing: [], learners: [] },
      recovering: false,
      featureLevelMax: FEATURE_LEVEL,
      peerFeatureLevels: () => new Map(IDS.filter((other) => other !== id).map((other) => [other, FEATURE_LEVEL])),
      streams: [DATA_STREAM],
      clock: this.#clock,
      random: randomOf(seed),
      wal: await openWal(new PlainDisk(), this.#clock, { ...options, decodeConfiguration }),
      store: new MemoryStore(),
      network: { send: (to, envelope) => this.#send(id, to, envelope) },
      settings: SETTINGS,
      onFatal: (error) => {
        throw error;
      },
    });
    this.#members.set(id, member);
  }

  #send(from: MemberId, to: MemberId, envelope: Envelope): boolean {
    const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(envelope));
    this.#underWay += 1;
    setImmediate(() => {
      this.#underWay -= 1;
      const decoded = fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytes));
      if (!decoded.ok) throw new Error(decoded.error);
      this.#members.get(to)?.receive(from, decoded.value);
    });
    return true;
  }

  async #settle(): Promise<void> {
    for (let ticks = 0; ticks < 10_000; ticks += 1) {
      this.#clock.pass(SETTINGS.tickMs);
      await turn();
      const members = [...this.#members.values()];
      this.#leader = members.find((member) => member.raftStatus(DATA_STREAM).role === 'leader') ?? null;
      if (this.#leader?.local(DATA_STREAM).featureLevel().level === FEATURE_LEVEL) return;
    }
    throw new Error('no leader with the newest feature level');
  }

  async #do<K extends CommandValue['kind']>(kind: K, body: CommandBody): Promise<Extract<CommandValue, { kind: K }>> {
    const leader = must(this.#leader, 'there is a leader');
    const outcome = await leader.mutate(
      DATA_STREAM,
      { session: null, caller: 'bench', traceId: '', body },
      DEADLINE_MS,
    );
    if (outcome.kind !== 'applied' || !outcome.result.ok || outcome.result.value.kind !== kind)
      throw new Error(`not ${kind}: ${JSON.stringify(outcome)}`);
    return outcome.result.value as Extract<CommandValue, { kind: K }>;
  }

  async #begin(): Promise<void> {
    const phases = [{ name: 'ANALYZE', priorMs: DAY_MS, slaMs: 0 }];
    await this.#do('planRegistered', { kind: 'registerPlan', plan: 'bench', phases });
    const bodies: CommandBody[] = [];
    for (let i = 0; i < LOOPS; i += 1) {
      const ref = { loop: `loop-${i}`, g: 1, phase: 'ANALYZE' };
      await this.#do('loopCreated', { kind: 'createLoop', loop: ref.loop, plan: 'bench' });
      const begun = await this.#do('phaseBegun', { kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] });
      bodies.push(progressBody(ref, begun.token));
    }
    this.#progress = bodies;
  }
}

export function progressBody(
  ref: { readonly loop: string; readonly g: number; readonly phase: string },
  token: FencingToken,
): CommandBody {
  const counts = { completed: 1, total: 2 };
  return { kind: 'reportProgress', ref, token, ...counts, note: NOTE, subSteps: [], checkpoint: null };
}
