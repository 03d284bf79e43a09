/** D5: when a member is PARTITIONED, and for how long. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Contact, PartitionWatch } from '../../src/detect/partition.ts';

const WINDOW_MS = 1_000;
const STALL_MS = 400;
const TICK_MS = 20;

const watch = (): PartitionWatch => new PartitionWatch(WINDOW_MS, STALL_MS);
const look = (nowMs: number, contactTick: number | null, more: Partial<Contact> = {}): Contact => ({
  nowMs,
  contactTick,
  lastIndex: 7,
  leading: false,
  ...more,
});

/** Looks each tick from `fromMs` to `toMs`, without contact since tick `contactTick`. */
function silent(one: PartitionWatch, fromMs: number, toMs: number, contactTick = 0): void {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += TICK_MS) one.observe(look(nowMs, contactTick));
}

describe('D5: the partition watch', () => {
  it('needs the whole window without contact, counted from the start', () => {
    const one = watch();
    silent(one, 0, WINDOW_MS - TICK_MS);
    expect(one.partitioned).toBe(false);
    expect(one.durationMs).toBe(0);
    one.observe(look(WINDOW_MS, 0));
    expect(one.partitioned).toBe(true);
    expect(one.durationMs).toBe(WINDOW_MS);
    expect(one.partitions).toBe(1);
  });

  it('ends with contact, and the duration of the last partition stays', () => {
    const one = watch();
    silent(one, 0, 3_000);
    one.observe(look(3_020, 151));
    expect(one.partitioned).toBe(false);
    expect(one.durationMs).toBe(3_020);
    silent(one, 3_040, 3_500, 151);
    expect(one.durationMs).toBe(3_020);
  });

  it('ends when the member is elected, also when it appended and stepped down before the next look', () => {
    const one = watch();
    silent(one, 0, 2_000);
    expect(one.partitioned).toBe(true);
    one.elected();
    one.observe(look(2_020, 0, { lastIndex: 8 }));
    expect(one.partitioned).toBe(false);
    expect(one.durationMs).toBe(2_020);
  });

  it('is not for one that belongs to no cluster, nor for a leader, which steps down first', () => {
    const alone = watch();
    for (let nowMs = 0; nowMs <= 5_000; nowMs += TICK_MS) alone.observe(look(nowMs, null));
    expect(alone.partitioned).toBe(false);
    const leader = watch();
    for (let nowMs = 0; nowMs <= 5_000; nowMs += TICK_MS) leader.observe(look(nowMs, 0, { leading: true }));
    expect(leader.partitioned).toBe(false);
    leader.observe(look(5_020, 0));
    expect(leader.partitioned).toBe(true);
    expect(leader.durationMs).toBe(5_020);
  });

  it('does not count the time in which this process stood still', () => {
    const one = watch();
    silent(one, 0, 200);
    one.observe(look(60_000, 0));
    expect(one.partitioned).toBe(false);
    silent(one, 60_020, 60_000 + WINDOW_MS - 220);
    expect(one.partitioned).toBe(false);
    silent(one, 60_000 + WINDOW_MS - 200, 60_000 + WINDOW_MS);
    expect(one.partitioned).toBe(true);
  });

  it('asserts that the log does not grow meanwhile (PW3)', () => {
    const one = watch();
    silent(one, 0, WINDOW_MS);
    expect(() => one.observe(look(WINDOW_MS + TICK_MS, 0, { lastIndex: 8 }))).toThrow(/PW3/);
    const healed = watch();
    silent(healed, 0, WINDOW_MS);
    healed.observe(look(WINDOW_MS + TICK_MS, 60, { lastIndex: 8 }));
    expect(healed.partitioned).toBe(false);
  });

  it('property: PARTITIONED exactly when the silence has filled the window, and the duration is that of the silence within a tick', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 20, max: 200 }))),
        (turns) => {
          const one = watch();
          let tick = 0;
          let contactMs = 0;
          let nowMs = 0;
          one.observe(look(0, 0));
          for (const [quietMs, talkMs] of turns) {
            for (const endMs = nowMs + quietMs; nowMs < endMs; ) {
              nowMs += TICK_MS;
              one.observe(look(nowMs, tick));
              expect(one.partitioned).toBe(nowMs - contactMs >= WINDOW_MS);
              if (one.partitioned) expect(one.durationMs).toBe(nowMs - contactMs);
            }
            const was = one.partitioned ? nowMs + TICK_MS - contactMs : null;
            for (const endMs = nowMs + talkMs; nowMs < endMs; ) {
              nowMs += TICK_MS;
              tick += 1;
              one.observe(look(nowMs, tick));
              contactMs = nowMs;
              expect(one.partitioned).toBe(false);
              if (was !== null) expect(one.durationMs).toBe(was);
            }
          }
        },
      ),
    );
  });
});
