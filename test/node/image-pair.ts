/** An image that goes from one member to another over a wire that tests can cut and listen to. */
import { expect } from 'vitest';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import { ImageReceiver } from '../../src/node/image-receiver.ts';
import { ImageSender } from '../../src/node/image-sender.ts';
import type { Envelope, SnapshotAck, SnapshotChunk } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { SnapshotMark } from '../../src/raft/types.ts';
import { systemRandom } from '../../src/server/system-ports.ts';
import { clusterTimeMs, logIndex, type MemberId, memberId, streamId, term } from '../../src/types/ids.ts';
import type { Wal } from '../../src/wal/types.ts';
import { MemoryStore, MemoryStoreData } from '../store/memory-store.ts';

export const STREAM = streamId(1);
export const [A, B] = [memberId('a'), memberId('b')];
const LOOPS = 400;
const TERM = term(3);

/** A state with some rows, in a store. */
export async function filledStore(): Promise<{ store: MemoryStore; mark: SnapshotMark; hash: string }> {
  const machine = createMachine();
  for (let i = 1; i <= LOOPS; i += 1) {
    const body = { kind: 'createLoop', loop: `loop-${i}`, plan: '' } as const;
    const command = { timeMs: clusterTimeMs(i), session: null, caller: 'c', traceId: '', body };
    machine.apply({ index: logIndex(i), term: TERM, command });
  }
  const configuration = { voters: [A, B], votersOutgoing: [], learners: [] };
  const mark = { index: logIndex(LOOPS), term: TERM, configuration: { index: logIndex(0), configuration } };
  const store = new MemoryStore();
  await store.write(STREAM, mark, machine.takeChanges());
  return { store, mark, hash: machine.stateHash() };
}

/** A clock that stands until it is moved. */
class HandClock implements Clock {
  #nowMs = 0;
  readonly #timers: { atMs: number; callback: () => void }[] = [];

  wallMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  after(delayMs: number, callback: () => void): () => void {
    this.#timers.push({ atMs: this.#nowMs + delayMs, callback });
    return () => undefined;
  }
  defer(callback: () => void): void {
    callback();
  }
  advance(ms: number): void {
    this.#nowMs += ms;
    for (const timer of this.#timers.splice(0)) {
      if (timer.atMs <= this.#nowMs) timer.callback();
      else this.#timers.push(timer);
    }
  }
}

/** Member a sends to member b over a wire that tests can cut and listen to. */
export class Pair {
  readonly clock = new HandClock();
  readonly data = new MemoryStoreData();
  readonly target = new MemoryStore(this.data);
  readonly sender: ImageSender;
  receiver: ImageReceiver;
  readonly ended: boolean[] = [];
  readonly ready: SnapshotMark[] = [];
  readonly bad: string[] = [];
  readonly resets: SnapshotMark[] = [];
  chunks = 0;
  /** Processes of the receiver so far: what an earlier one says does not arrive. */
  lives = 0;
  cut = false;
  /** Changes what arrives. */
  tamper: (chunk: SnapshotChunk) => SnapshotChunk = (chunk) => chunk;
  leader: MemberId = A;
  /** The receiver's disk has no room. */
  full = false;
  /** Acknowledgements that do not arrive. */
  lost: (ack: SnapshotAck) => boolean = () => false;
  /** Acknowledgements under way, where they are held back. */
  held: SnapshotAck[] | null = null;

  constructor(source: MemoryStore) {
    this.receiver = this.#receiver();
    this.sender = new ImageSender({
      stream: STREAM,
      clock: this.clock,
      random: systemRandom,
      chunkBytes: 4_096,
      chunksInFlight: 2,
      resendMs: 400,
      term: () => TERM,
      openImage: () => source.image(STREAM),
      send: (_to, envelope) => this.#toReceiver(envelope),
      onEnded: (_to, { installed }) => this.ended.push(installed),
    });
  }

  #toReceiver(envelope: Envelope): boolean {
    if (envelope.kind !== 'snapshotChunk' || this.cut) return false;
    this.chunks += 1;
    const chunk = this.tamper(envelope);
    this.receiver.receive(A, chunk);
    return true;
  }

  #receiver(): ImageReceiver {
    this.lives += 1;
    const life = this.lives;
    const isFull = (): boolean => this.full;
    const wal = {
      get spaceLow() {
        return isFull();
      },
      reset: async (_stream: unknown, mark: SnapshotMark) => void this.resets.push(mark),
    };
    return new ImageReceiver({
      stream: STREAM,
      store: this.target,
      wal: wal as unknown as Wal,
      startLoading,
      yieldNow: async () => undefined,
      office: () => ({ term: TERM, leader: this.leader }),
      ack: (_to, ack: SnapshotAck) => {
        if (this.cut || life !== this.lives || this.lost(ack)) return;
        if (this.held === null) this.sender.acked(B, ack);
        else this.held.push(ack);
      },
      onReady: (_from, _term, mark) => this.ready.push(mark),
      onBad: (_from, why) => this.bad.push(why),
    });
  }

  /** The receiving process is started anew: what it staged is gone. */
  restart(): void {
    this.receiver = this.#receiver();
  }

  /** Time goes by, half a second at a time, until `condition` holds. Milliseconds that it took. */
  async waitFor(condition: () => boolean, msMax: number): Promise<number> {
    let ms = 0;
    for (; ms < msMax && !condition(); ms += 500) {
      this.clock.advance(500);
      this.sender.tick();
      await turns(5);
    }
    return ms;
  }

  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 10_000 && !condition(); turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(condition()).toBe(true);
  }
}

export async function takeOver(pair: Pair, mark: SnapshotMark): Promise<string> {
  await pair.receiver.install(mark, false);
  const machine = pair.receiver.takeOver(mark.index);
  expect(pair.resets).toEqual([mark]);
  expect(await pair.target.state(STREAM)).toEqual({ mark, installing: false });
  return machine.stateHash();
}

/** What was begun goes on, as far as it comes by itself. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
