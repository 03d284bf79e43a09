import { describe, expect, it } from 'vitest';
import { StreamTime } from '../../src/node/stream-time.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { clusterTimeMs } from '../../src/types/ids.ts';

function manualClock(): Clock & { wall: number; mono: number } {
  return {
    wall: 1_000_000,
    mono: 0,
    wallMs() {
      return this.wall;
    },
    monotonicMs() {
      return this.mono;
    },
    after: () => () => undefined,
    defer: () => undefined,
  };
}

describe('StreamTime', () => {
  it('R7: does not go back when the wall clock does', () => {
    const clock = manualClock();
    const time = new StreamTime(clock, () => clusterTimeMs(0));
    time.take();
    expect(time.now()).toBe(1_000_000);
    clock.wall = 5;
    clock.mono = 30;
    expect(time.now()).toBe(1_000_030);
  });

  it('R7: goes on from the state’s time when the former leader was ahead, at the right rate', () => {
    const clock = manualClock();
    const time = new StreamTime(clock, () => clusterTimeMs(9_000_000));
    time.take();
    clock.mono = 1_000;
    expect(time.now()).toBe(9_001_000);
  });

  it('R7: does not stand still when what the former leader stamped is applied only after the election', () => {
    const clock = manualClock();
    let stateMs = clusterTimeMs(0);
    const time = new StreamTime(clock, () => stateMs);
    time.take();
    clock.mono = 20;
    expect(time.now()).toBe(1_000_020);
    stateMs = clusterTimeMs(9_000_000);
    expect(time.now()).toBe(9_000_000);
    clock.mono = 320;
    expect(time.now()).toBe(9_000_300);
  });

  it('R7: does not jump with a wall clock that is set while in office', () => {
    const clock = manualClock();
    const time = new StreamTime(clock, () => clusterTimeMs(0));
    time.take();
    clock.wall = 99_000_000;
    clock.mono = 10;
    expect(time.now()).toBe(1_000_010);
  });
});
