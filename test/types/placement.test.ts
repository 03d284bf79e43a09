import { describe, expect, it } from 'vitest';
import { DATA_STREAM } from '../../src/types/ids.ts';
import { streamForKey } from '../../src/types/placement.ts';

describe('streamForKey', () => {
  it('R8: with one data stream every key is on it', () => {
    for (const key of ['', 'a', 'deploy/eu-1', '環']) expect(streamForKey(key, 1)).toBe(DATA_STREAM);
  });

  it('R8: spreads keys over the streams, the same way each time', () => {
    const counts = new Map<number, number>();
    for (let i = 0; i < 8_000; i += 1) {
      const stream = streamForKey(`loop-${i}`, 8);
      expect(streamForKey(`loop-${i}`, 8)).toBe(stream);
      counts.set(stream, (counts.get(stream) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const count of counts.values()) expect(count).toBeGreaterThan(700);
  });

  it('never moves: these placements are part of the format', () => {
    expect(['a', 'b', 'deploy', 'loop-1'].map((key) => streamForKey(key, 16))).toMatchInlineSnapshot(`
      [
        5,
        16,
        15,
        6,
      ]
    `);
  });
});
