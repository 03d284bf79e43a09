import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startLoading } from '../../src/machine/machine.ts';
import { loadImage } from '../../src/snapshot/load.ts';
import { SnapshotReceiver } from '../../src/snapshot/receiver.ts';
import { SnapshotSource } from '../../src/snapshot/source.ts';
import type { Staging } from '../../src/store/types.ts';
import { must } from '../../src/types/assert.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { allRows, machineOf, mark, ONE, put, stored } from '../store/support.ts';
import { benchWith, chunkFrom, imageOf, storeOf } from './support.ts';

const CHUNK = 700;
const soon = (): Promise<void> => Promise.resolve();

function receiver(): { readonly store: MemoryStore; readonly receiver: SnapshotReceiver } {
  const store = new MemoryStore();
  return { store, receiver: new SnapshotReceiver(() => store.stage(ONE)) };
}

/** Sends the rest from `next` on. */
async function finish(source: SnapshotSource, to: SnapshotReceiver, next: number, id = 1): Promise<number> {
  for (let sequence = next; ; sequence++) {
    const { outcome, next: wanted } = await to.accept(await chunkFrom(source, sequence, id));
    expect(wanted).toBe(sequence + 1);
    if (outcome === 'complete') return sequence + 1;
    expect(outcome).toBe('continue');
    source.acknowledged(wanted);
  }
}

describe('R4: a transfer', () => {
  it('SE, R6: brings the whole state over, sessions included, while the sender writes on', async () => {
    const bench = benchWith(4);
    const from = await storeOf(bench);
    const source = new SnapshotSource(must(await from.image(ONE), 'an image'), CHUNK);
    await from.write(ONE, mark(bench.machine.appliedIndex + 1), [put('loop', 'other', '[]')]);
    const { store, receiver: to } = receiver();
    expect(await finish(source, to, 0)).toBeGreaterThan(5);
    const image = must(to.image, 'it is complete');
    // The state is built from what is staged, before it is installed.
    const loader = startLoading();
    await loadImage((after, bytesMax) => image.staging.read(after, bytesMax), loader, soon);
    const machine = loader.finish(image.mark.index);
    expect(machine.stateHash()).toBe(bench.machine.stateHash());
    expect(machine.sessionCount()).toBe(1);
    await image.staging.install(image.mark);
    await to.discard();
    expect(await store.state(ONE)).toEqual({ mark: mark(bench.machine.appliedIndex), installing: true });
    expect(machineOf(await stored(store)).stateHash()).toBe(bench.machine.stateHash());
    await source.close();
  });

  it('goes on where the stream broke, at any chunk, with what was sent twice, lost or out of order', async () => {
    const bench = benchWith(2);
    const from = await storeOf(bench);
    const image = async () => must(await from.image(ONE), 'an image');
    const expected = await allRows(await image());
    const step = fc.record({ ahead: fc.integer({ min: -3, max: 2 }), lose: fc.boolean(), forget: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const source = new SnapshotSource(await image(), CHUNK);
        const { receiver: to } = receiver();
        let next = 0;
        let complete = false;
        for (const { ahead, lose, forget } of steps) {
          const sequence = Math.max(0, next + ahead);
          const chunk = await source.chunk(sequence);
          if (chunk === null || lose || complete) continue;
          const before = next;
          const accepted = await to.accept(await chunkFrom(source, sequence));
          next = accepted.next;
          complete = accepted.outcome === 'complete';
          const outcome =
            sequence > before ? 'gap' : sequence < before ? 'continue' : complete ? 'complete' : 'continue';
          expect(accepted).toEqual({ outcome, next: before + (sequence === before ? 1 : 0) });
          if (forget) source.acknowledged(next);
        }
        if (!complete) await finish(source, to, next);
        expect(await allRows(must(to.image, 'it is complete').staging)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it('two transfers never mix: the first chunk of another one starts over, its later ones are not taken', async () => {
    const [old, young] = [benchWith(1), benchWith(3)];
    const [one, two] = [new SnapshotSource(await imageOf(old), CHUNK), new SnapshotSource(await imageOf(young), CHUNK)];
    const { receiver: to } = receiver();
    const late = [await chunkFrom(one, 0, 1), await chunkFrom(one, 1, 1), await chunkFrom(one, 2, 1)] as const;
    await to.accept(late[0]);
    await to.accept(late[1]);
    const first = await chunkFrom(two, 0, 2);
    expect(await to.accept(await chunkFrom(two, 1, 2))).toEqual({ outcome: 'gap', next: 0 });
    expect(await to.accept(late[2])).toEqual({ outcome: 'continue', next: 3 });
    expect(await to.accept(first)).toEqual({ outcome: 'continue', next: 1 });
    expect(await to.accept(late[2])).toEqual({ outcome: 'gap', next: 0 });
    await finish(two, to, 1, 2);
    const image = must(to.image, 'it is complete');
    const rows = await allRows(image.staging);
    expect(machineOf({ index: image.mark.index, rows }).stateHash()).toBe(young.machine.stateHash());
  });

  it('chunks of a leader that was replaced, of another image under the same number, and damaged ones are bad', async () => {
    const source = new SnapshotSource(await imageOf(benchWith(1)), CHUNK);
    const { receiver: to } = receiver();
    const good = await chunkFrom(source, 0, 7, 5);
    const flipped = Uint8Array.from(good.data, (byte, i) => (i === 20 ? byte ^ 1 : byte));
    expect(await to.accept({ ...good, data: flipped })).toEqual({ outcome: 'bad', next: 0 });
    expect(await to.accept(good)).toEqual({ outcome: 'continue', next: 1 });
    const second = await chunkFrom(source, 1, 7, 5);
    expect(await to.accept({ ...second, mark: mark(2) })).toEqual({ outcome: 'bad', next: 1 });
    expect(await to.accept({ ...second, mark: { ...good.mark, term: mark(1, 9).term } })).toEqual({
      outcome: 'bad',
      next: 1,
    });
    expect(await to.accept(await chunkFrom(source, 0, 8, 4))).toEqual({ outcome: 'bad', next: 0 });
    expect(await to.accept({ ...second, data: new Uint8Array() })).toEqual({ outcome: 'bad', next: 1 });
    expect(await to.accept(second)).toEqual({ outcome: 'continue', next: 2 });
  });

  it('W5: a chunk that found no room is taken when it comes again; what is complete is said once', async () => {
    const source = new SnapshotSource(await imageOf(benchWith(1)));
    const store = new MemoryStore();
    let full = true;
    const to = new SnapshotReceiver(async () => {
      const staging = await store.stage(ONE);
      const add: Staging['add'] = (rows) => (full ? Promise.reject(new Error('full')) : staging.add(rows));
      return { ...staging, add };
    });
    const all = await chunkFrom(source, 0);
    expect(all.last).toBe(true);
    await expect(to.accept(all)).rejects.toThrow('full');
    expect(to.image).toBeNull();
    full = false;
    const both = await Promise.all([to.accept(all), to.accept(all)]);
    expect(both).toEqual([
      { outcome: 'complete', next: 1 },
      { outcome: 'continue', next: 1 },
    ]);
    await to.discard();
    expect(to.image).toBeNull();
    expect(await to.accept({ ...all, sequence: 1 })).toEqual({ outcome: 'gap', next: 0 });
  });
});

describe('the source', () => {
  it('gives the first chunk always, the others until they are acknowledged, the same bytes each time', async () => {
    const source = new SnapshotSource(await imageOf(benchWith(2)), CHUNK);
    expect(await source.chunk(1)).toBeNull();
    const first = await source.chunk(0);
    expect(await source.chunk(2)).toBeNull();
    const second = await source.chunk(1);
    const third = await source.chunk(2);
    expect([await source.chunk(1), await source.chunk(2)]).toEqual([second, third]);
    source.acknowledged(2);
    expect([await source.chunk(0), await source.chunk(1), await source.chunk(2)]).toEqual([first, second, third]);
    source.acknowledged(3);
    expect(await source.chunk(2)).toBeNull();
    expect(await source.chunk(3)).not.toBeNull();
    // An answer that runs ahead of everything that was sent takes nothing away.
    source.acknowledged(1_000);
    expect(await source.chunk(4)).not.toBeNull();
  });
});
