/** IR5: the image of a leader that was replaced is refused while that of the next one comes in. Real core, real tables. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import { CoreDriver } from '../../src/node/core-driver.ts';
import { ImageReceiver } from '../../src/node/image-receiver.ts';
import type { SnapshotChunk } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { Raft } from '../../src/raft/raft.ts';
import type { SnapshotMark } from '../../src/raft/types.ts';
import { SnapshotSource } from '../../src/snapshot/source.ts';
import { openLevelStore } from '../../src/store/level-store.ts';
import { must } from '../../src/types/assert.ts';
import { clusterId, clusterTimeMs, logIndex, type MemberId, memberId, streamId, term } from '../../src/types/ids.ts';
import type { Wal } from '../../src/wal/types.ts';
import { LIMITS } from '../raft/cluster.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { turns } from './image-pair.ts';

const STREAM = streamId(1);
const [A, B, C] = [memberId('a'), memberId('b'), memberId('c')];
const configuration = { voters: [A, B, C], votersOutgoing: [], learners: [] };
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** All pieces of an image with `loops` loops, as the leader of `inTerm` sends them. */
async function pieces(loops: number, inTerm: number, transferId: number, chunkBytes: number): Promise<SnapshotChunk[]> {
  const machine = createMachine();
  for (let i = 1; i <= loops; i += 1) {
    const body = { kind: 'createLoop', loop: `loop-${i}`, plan: '' } as const;
    const command = { timeMs: clusterTimeMs(i), session: null, caller: 'c', traceId: '', body };
    machine.apply({ index: logIndex(i), term: term(3), command });
  }
  const mark = {
    index: logIndex(loops),
    term: term(3),
    configuration: { index: logIndex(0), configuration },
  } satisfies SnapshotMark;
  const store = new MemoryStore();
  await store.write(STREAM, mark, machine.takeChanges());
  const source = new SnapshotSource(must(await store.image(STREAM), 'an image'), chunkBytes);
  const all: SnapshotChunk[] = [];
  for (let sequence = 0; ; sequence += 1) {
    const { data, last } = must(await source.chunk(sequence), 'a piece');
    const head = { kind: 'snapshotChunk', stream: STREAM, transferId, term: term(inTerm) } as const;
    all.push({ ...head, mark, sequence, last, data });
    if (last) return all;
  }
}

class Follower {
  readonly events: string[] = [];
  readonly fatal: Error[] = [];
  readonly receiver: ImageReceiver;
  readonly #driver: CoreDriver;
  /** Loading waits for it. */
  gate: Promise<void> = Promise.resolve();

  constructor(store: Awaited<ReturnType<typeof openLevelStore>>, writing: boolean) {
    const raft = new Raft(
      {
        id: B,
        configurations: [{ index: logIndex(0), configuration }],
        encodeConfiguration: () => new Uint8Array(),
        decodeConfiguration: () => configuration,
        recovering: false,
        hardState: { term: term(0), votedFor: null },
        log: { firstIndex: logIndex(1), lastIndex: logIndex(0), baseIndex: logIndex(0), baseTerm: term(0), spans: [] },
        appliedIndex: logIndex(0),
        electionTicks: 10,
        heartbeatTicks: 3,
        leaseTicks: 9,
        leaseMs: 100,
        limits: LIMITS,
      },
      { below: () => 0 },
    );
    const wal = { spaceLow: false, append: async () => undefined, reset: async () => undefined } as unknown as Wal;
    this.receiver = new ImageReceiver({
      stream: STREAM,
      store,
      wal,
      startLoading,
      yieldNow: () => this.gate,
      office: () => ({ term: raft.term, leader: raft.leader }),
      ack: () => undefined,
      onReady: (from, inTerm, mark) => this.#driver.input({ kind: 'installSnapshot', from, term: inTerm, mark }),
      onBad: (from, why) => this.events.push(`bad ${from} ${why}`),
    });
    this.#driver = new CoreDriver(
      {
        stream: STREAM,
        raft,
        wal,
        clock: { defer: (f: () => void) => setImmediate(f), monotonicMs: () => 0 } as unknown as Clock,
        send: () => undefined,
        onCommitted: () => undefined,
        onEffect: (effect) => {
          if (effect.kind !== 'snapshotRefused') return;
          this.events.push(`refused ${effect.reason}`);
          this.receiver.refused(effect.reason === 'stale');
        },
        // As a group does: a write to the tables that is under way is waited for.
        restore: async (mark, keep) => {
          if (writing) await turns(1);
          await this.receiver.install(mark, keep);
        },
        onRestored: ({ index }) => {
          this.receiver.takeOver(index);
          this.events.push(`restored ${index}`);
        },
        onFatal: (error) => this.fatal.push(error),
      },
      logIndex(0),
    );
  }

  hears(from: MemberId, inTerm: number): void {
    const message = { kind: 'heartbeatRequest', from, to: B, term: term(inTerm) } as const;
    const body = { leaderCommit: logIndex(0), readSequence: 0, sentMs: 0 };
    this.#driver.input({ kind: 'receive', message: { ...message, ...body } });
  }
}

describe('IR5: the image of the next leader', () => {
  it.each([
    ['while nothing is written', false],
    ['while the tables are written to', true],
  ])('is taken over though that of the one before was refused behind it, %s', async (_when, writing) => {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-images-'));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const store = await openLevelStore(folder, { clusterId: clusterId('x'), memberId: B });
    cleanups.push(() => store.close());
    const follower = new Follower(store, writing);
    follower.hears(A, 3);
    await turns(3);
    const [only, ...rest] = await pieces(40, 3, 11, 1_000_000);
    expect(rest).toEqual([]);
    const next = await pieces(45, 4, 22, 22_000);
    expect(next.length).toBe(2);
    let open = (): void => undefined;
    follower.gate = new Promise((resolve) => {
      open = resolve;
    });
    follower.receiver.receive(A, must(only, 'a piece'));
    await turns(20);
    follower.hears(C, 4);
    await turns(3);
    for (const piece of next) follower.receiver.receive(C, piece);
    open();
    await expect.poll(() => follower.events.length + follower.fatal.length, { timeout: 10_000 }).toBe(2);
    expect(follower.fatal).toEqual([]);
    expect(follower.events).toEqual(['refused not_leader', 'restored 45']);
    await follower.receiver.stop();
  });
});
