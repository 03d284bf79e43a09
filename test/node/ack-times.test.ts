/** A1: how long members take to make entries durable, as measured and reported. */
import { describe, expect, it } from 'vitest';
import { AckTimes } from '../../src/node/ack-times.ts';
import { memberId } from '../../src/types/ids.ts';
import { ACK_TIMES_KEPT, ACK_TIMES_PER_REPORT_MAX } from '../../src/types/limits.ts';

const b = memberId('b');

describe('the own log', () => {
  it('is measured from the handing over to durable, in order', () => {
    const times = new AckTimes();
    times.began(0);
    times.began(5);
    times.ended(10);
    times.ended(11);
    expect(times.report(20)).toEqual({ samplesMs: [10, 6], pendingMs: 0 });
    times.began(30);
    expect(times.report(75)).toEqual({ samplesMs: [], pendingMs: 45 });
    expect(times.own(75, 1_000)).toEqual({ count: 2, p50Ms: 6, p95Ms: 10, pendingMs: 45 });
    expect(times.own(2_000, 1_000)).toEqual({ count: 0, p50Ms: null, p95Ms: null, pendingMs: 1_970 });
  });

  it('is reported once, the newest first to stay, and kept within bounds', () => {
    const times = new AckTimes();
    for (let i = 0; i < 5 * ACK_TIMES_KEPT; i++) {
      times.began(i);
      times.ended(i + (i % 7));
    }
    const nowMs = 5 * ACK_TIMES_KEPT + 10;
    const { samplesMs } = times.report(nowMs);
    expect(samplesMs).toHaveLength(ACK_TIMES_PER_REPORT_MAX);
    expect(samplesMs.at(-1)).toBe((5 * ACK_TIMES_KEPT - 1) % 7);
    expect(times.report(nowMs + 1).samplesMs).toEqual([]);
    expect(times.own(nowMs, 1e9)).toEqual({ count: ACK_TIMES_KEPT, p50Ms: 3, p95Ms: 6, pendingMs: 0 });
  });
});

describe('the log of another member', () => {
  it('is what it reported within the window; the 95th percentile is by nearest rank', () => {
    const times = new AckTimes();
    expect(times.of(b, 0, 1_000)).toEqual({ count: 0, p50Ms: null, p95Ms: null, pendingMs: 0 });
    times.heard(b, { samplesMs: [500], pendingMs: 0 }, 0);
    times.heard(b, { samplesMs: Array.from({ length: 19 }, (_, i) => i + 1), pendingMs: 7 }, 900);
    expect(times.of(b, 900, 1_000)).toEqual({ count: 20, p50Ms: 10, p95Ms: 19, pendingMs: 7 });
    expect(times.of(b, 1_500, 1_000)).toEqual({ count: 19, p50Ms: 10, p95Ms: 19, pendingMs: 7 });
  });

  it('is not held to be hanging when it says nothing any more: that is another matter (A3)', () => {
    const times = new AckTimes();
    times.heard(b, { samplesMs: [], pendingMs: 9_000 }, 0);
    expect(times.of(b, 999, 1_000).pendingMs).toBe(9_000);
    expect(times.of(b, 1_000, 1_000).pendingMs).toBe(0);
    times.forgetOthers();
    expect(times.of(b, 500, 1_000).pendingMs).toBe(0);
  });
});
