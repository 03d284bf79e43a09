/** IR4: what became of an image is said again to whoever sends pieces of it again. */
import { describe, expect, it } from 'vitest';
import type { SnapshotChunk } from '../../src/node/types.ts';
import { A, B, filledStore, Pair, takeOver, turns } from './image-pair.ts';

/** Well below the time after which a sender gives up, a minute. */
const SOON_MS = 5_000;

/** Keeps the first piece that the receiver is sent. */
function firstPiece(pair: Pair): () => SnapshotChunk {
  const seen: SnapshotChunk[] = [];
  pair.tamper = (chunk) => {
    seen.push(chunk);
    return chunk;
  };
  return () => {
    const [first] = seen;
    if (first === undefined) throw new Error('a piece was sent');
    return first;
  };
}

describe('IR4: the last word on an image is lost, and its first piece comes late', () => {
  it('"installed" is said again', async () => {
    const { store, mark } = await filledStore();
    const pair = new Pair(store);
    const first = firstPiece(pair);
    pair.lost = ({ outcome }) => outcome === 'installed';
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    await takeOver(pair, mark);
    pair.receiver.receive(A, first());
    await turns(20);
    expect(pair.ended).toEqual([]);
    pair.lost = () => false;
    expect(await pair.waitFor(() => pair.ended.length > 0, 70_000)).toBeLessThan(SOON_MS);
    expect(pair.ended).toEqual([true]);
  });

  it('so is a refusal for want of room, and the next transfer goes through', async () => {
    const { store, mark, hash } = await filledStore();
    const pair = new Pair(store);
    const first = firstPiece(pair);
    pair.full = true;
    pair.lost = ({ outcome }) => outcome === 'refused';
    pair.sender.start(B);
    await pair.until(() => pair.bad.length === 1);
    pair.full = false;
    pair.lost = () => false;
    pair.receiver.receive(A, first());
    await turns(20);
    expect(await pair.waitFor(() => pair.ended.length > 0, 70_000)).toBeLessThan(SOON_MS);
    expect(pair.ended).toEqual([false]);
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    expect(await takeOver(pair, mark)).toBe(hash);
    expect(pair.ended).toEqual([false, true]);
  });

  it('late pieces do not disturb the next transfer', async () => {
    const { store, mark } = await filledStore();
    const pair = new Pair(store);
    const first = firstPiece(pair);
    pair.sender.start(B);
    await pair.until(() => pair.ready.length === 1);
    await takeOver(pair, mark);
    expect(pair.ended).toEqual([true]);
    pair.sender.start(B);
    await pair.until(() => (pair.sender.status()[0]?.chunksAcked ?? 0) >= 5);
    const { chunks } = pair;
    pair.receiver.receive(A, first());
    await pair.until(() => pair.ready.length === 2);
    // Nothing of it was sent twice.
    expect(pair.chunks - chunks).toBeLessThan(chunks);
    pair.receiver.refused(true);
    expect(pair.ended).toEqual([true, true]);
  });
});
