/** R4: an image goes from one member to another in pieces, through broken streams, mixed-up transfers and damage. */
import { describe, expect, it } from 'vitest';
import type { SnapshotAck } from '../../src/node/types.ts';
import { B, filledStore, Pair, STREAM, takeOver } from './image-pair.ts';

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
