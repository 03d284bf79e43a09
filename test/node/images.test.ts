/** R4: an image goes from one member to another in pieces, through broken streams, mixed-up transfers and damage. */
import { describe, expect, it } from 'vitest';
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

const STREAM = streamId(1);
const [A, B] = [memberId('a'), memberId('b')];
const LOOPS = 400;
const TERM = term(3);

/** A state with some rows, in a store. */
async function filledStore(): Promise<{ store: MemoryStore; mark: SnapshotMark; hash: string }> {
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
class Pair {
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
    const wal = { reset: async (_stream: unknown, mark: SnapshotMark) => void this.resets.push(mark) };
    return new ImageReceiver({
      stream: STREAM,
      store: this.target,
      wal: wal as unknown as Wal,
      startLoading,
      yieldNow: async () => undefined,
      office: () => ({ term: TERM, leader: this.leader }),
      ack: (_to, ack: SnapshotAck) => {
        if (this.cut || life !== this.lives) return;
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

  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 10_000 && !condition(); turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(condition()).toBe(true);
  }
}

async function takeOver(pair: Pair, mark: SnapshotMark): Promise<string> {
  await pair.receiver.install(mark, false);
  const machine = pair.receiver.takeOver(mark.index);
  expect(pair.resets).toEqual([mark]);
  expect(await pair.target.state(STREAM)).toEqual({ mark, installing: false });
  return machine.stateHash();
}

describe('R4: an image in pieces', () => {
  it('arrives whole, is installed, and is the same state', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    expect(pair.chunks).toBeGreaterThan(10);
    expect(await takeOver(pair, mark)).toBe(hash);
    expect(pair.ended).toEqual([true]);
    expect(pair.sender.marks).toEqual([]);
  });

  it('goes on after each broken stream where it stopped', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    pair.sender.start(B);
    const whole = new Pair(store);
    whole.sender.start(B);
    await whole.until(() => whole.ready.length === 1);
    for (const at of [3, 6, 9]) {
      await pair.until(() => (pair.sender.status()[0]?.chunksAcked ?? 0) >= at);
      pair.cut = true;
      pair.sender.unreachable(B);
      await new Promise((resolve) => setImmediate(resolve));
      pair.cut = false;
      pair.sender.heard(B);
    }
    expect(pair.sender.status()[0]?.resumed).toBe(3);
    await pair.until(() => pair.ready.length === 1);
    // At most the window was sent twice each time.
    expect(pair.chunks).toBeLessThanOrEqual(whole.chunks + 3 * 2);
    expect(await takeOver(pair, mark)).toBe(hash);
  });

  it('goes on where acknowledgements come in while the same pieces go out again', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    const late: SnapshotAck[] = [];
    pair.held = late;
    pair.sender.start(B);
    await pair.until(() => late.length === 2);
    const [first, second] = late;
    if (first === undefined || second === undefined) throw new Error('two were answered');
    pair.held = null;
    // The third piece is being read. The stream breaks; what the receiver had said before arrives over the next one.
    pair.sender.acked(B, first);
    pair.sender.unreachable(B);
    pair.sender.heard(B);
    pair.sender.acked(B, second);
    await pair.until(() => pair.ready.length === 1);
    expect(await takeOver(pair, mark)).toBe(hash);
    expect(pair.ended).toEqual([true]);
  });

  it('begins anew where the receiver lost what it had', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    let restarted = false;
    pair.tamper = (chunk) => {
      if (chunk.sequence === 5 && !restarted) pair.restart();
      restarted ||= chunk.sequence === 5;
      return chunk;
    };
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    expect(await takeOver(pair, mark)).toBe(hash);
  });

  it('begins anew where the receiver lost it after the last piece, and before it was installed', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    pair.restart();
    pair.clock.advance(401);
    pair.sender.tick();
    await pair.until(() => pair.ready.length === 2);
    expect(await takeOver(pair, mark)).toBe(hash);
  });

  it('repeats pieces that nobody answered', async () => {
    const { store } = await filledStore();
    const pair = new Pair(store);
    pair.cut = true;
    pair.sender.start(B);
    await new Promise((resolve) => setImmediate(resolve));
    pair.cut = false;
    expect(pair.chunks).toBe(0);
    pair.clock.advance(401);
    pair.sender.tick();
    await pair.until(() => pair.ready.length === 1);
  });

  it('with a damaged piece is refused, and nothing was changed', async () => {
    const { store } = await filledStore();
    const pair = new Pair(store);
    pair.tamper = (chunk) => {
      if (chunk.sequence !== 4) return chunk;
      const data = Uint8Array.from(chunk.data);
      data[20] = (data[20] ?? 0) ^ 1;
      return { ...chunk, data };
    };
    pair.sender.start(B);
    await pair.until(() => pair.bad.length > 0);
    expect(pair.ready).toEqual([]);
    expect(await pair.target.state(STREAM)).toEqual({ mark: null, installing: false });
    // Tried again only after a while.
    expect(pair.ended).toEqual([]);
    pair.clock.advance(1_001);
    expect(pair.ended).toEqual([false]);
  });

  it('that is being taken over is not disturbed by another transfer', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    // The sender gave up waiting, or another leader sends one: the core has decided already.
    const before = pair.chunks;
    pair.tamper = (chunk) => {
      pair.cut = true;
      return chunk;
    };
    pair.sender.start(B);
    await pair.until(() => pair.chunks > before);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(await takeOver(pair, mark)).toBe(hash);
    pair.tamper = (chunk) => chunk;
    pair.cut = false;
    // What was dropped comes again, and nobody minds that it is known.
    pair.clock.advance(401);
    pair.sender.tick();
    await pair.until(() => pair.ready.length === 2);
    pair.receiver.refused(true);
    expect(pair.ended).toEqual([true]);
  });

  it('is not taken from one who does not lead', async () => {
    const { store } = await filledStore();
    const pair = new Pair(store);
    pair.leader = B;
    pair.sender.start(B);
    await pair.until(() => pair.chunks === 2);
    expect(pair.sender.status()[0]?.chunksAcked).toBe(0);
  });
});
