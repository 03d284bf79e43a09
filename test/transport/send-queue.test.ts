import { describe, expect, it } from 'vitest';
import type { Envelope } from '../../src/node/types.ts';
import { SendQueue } from '../../src/transport/send-queue.ts';
import { memberId } from '../../src/types/ids.ts';
import { PEER_FRAME_BYTES_MAX } from '../../src/types/limits.ts';
import { append, chunk, heartbeat } from './support.ts';

const [A, B] = [memberId('a'), memberId('b')];
const MiB = 1024 * 1024;

function beat(sequence: number): Envelope {
  return heartbeat(A, B, sequence);
}

/** Short names, to compare orders: b1 a heartbeat, c1 a piece of an image, e an append. */
function names(envelopes: readonly Envelope[]): string {
  return envelopes
    .map((envelope) => {
      if (envelope.kind === 'snapshotChunk') return `c${envelope.sequence}`;
      if (envelope.kind !== 'raft') return envelope.kind;
      return envelope.message.kind === 'heartbeatRequest' ? `b${envelope.message.readSequence}` : 'e';
    })
    .join(' ');
}

describe('R4: the queue of a peer that is sent an image', () => {
  it('lets everything else pass, and keeps the order within each class', () => {
    const queue = new SendQueue(16 * MiB, 100);
    for (const envelope of [chunk(0), chunk(1), beat(1), chunk(2), beat(2)]) expect(queue.push(envelope)).toBe(true);
    expect(queue.length).toBe(5);
    // One piece for each frame: what comes in while it is written is next.
    expect(names(queue.take(PEER_FRAME_BYTES_MAX))).toBe('b1 b2 c0');
    queue.push(beat(3));
    expect(names(queue.take(PEER_FRAME_BYTES_MAX))).toBe('b3 c1');
    expect(names(queue.take(PEER_FRAME_BYTES_MAX))).toBe('c2');
    expect([names(queue.take(PEER_FRAME_BYTES_MAX)), queue.length, queue.bytes]).toEqual(['', 0, 0]);
  });

  it('brings the image on, slowly, while there is always something else', () => {
    const queue = new SendQueue(16 * MiB, 1000);
    queue.push(chunk(0));
    queue.push(chunk(1));
    const taken: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      queue.push(append(A, B, [new Uint8Array(PEER_FRAME_BYTES_MAX)]));
      taken.push(names(queue.take(PEER_FRAME_BYTES_MAX)));
    }
    expect(taken.join(' ')).toBe('e e e e e e e e c0 e e e e e e e e c1 e e');
  });

  it('is filled by images at most by half, so that they push nothing out', () => {
    const queue = new SendQueue(MiB, 1000);
    let taken = 0;
    while (queue.push(chunk(taken))) taken += 1;
    expect(taken).toBe(3);
    expect(queue.push(append(A, B, [new Uint8Array(MiB / 2)]))).toBe(true);
    expect(queue.bytes).toBeLessThanOrEqual(MiB);
    queue.clear();
    expect([queue.length, queue.bytes, names(queue.take(MiB))]).toEqual([0, 0, '']);
  });

  it('takes one envelope of any size when it is empty, of either class', () => {
    const queue = new SendQueue(1000, 10);
    expect(queue.push(chunk(0, MiB))).toBe(true);
    expect(queue.push(beat(1))).toBe(false);
    expect(names(queue.take(100))).toBe('c0');
  });
});
