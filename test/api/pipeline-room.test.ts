/** PL3: who gives way when pipelines hold too much together, or are too many. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Guest, PipelineRoom } from '../../src/api/pipeline-room.ts';
import {
  PIPELINE_IDLE_MS,
  PIPELINES_BYTES_MAX,
  PIPELINES_MAX,
  PIPELINES_PER_CONNECTION_MAX,
} from '../../src/types/limits.ts';

const MiB = 1024 * 1024;

let room: PipelineRoom;
let peers = 0;

class FakeGuest implements Guest {
  heldBytes = 0;
  over = false;
  idleSinceMs: number | null = null;
  cuts = 0;
  gaveWay = false;
  retired = false;
  looks = 0;
  readonly peer: string;

  /** Of a connection of its own where none is named. */
  constructor(peer = `peer-${++peers}`) {
    this.peer = peer;
    room.enter(this);
  }

  hold(bytes: number): void {
    this.heldBytes += bytes;
    room.hold(this, bytes);
  }

  giveWay(): void {
    this.gaveWay = true;
    room.leave(this);
  }

  retire(): void {
    this.retired = true;
  }

  cut(): void {
    this.cuts += 1;
    this.over = true;
    // As a pipeline does: what was not begun goes at once.
    this.hold(-1);
    this.hold(0);
  }

  look(): void {
    this.looks += 1;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  room = new PipelineRoom();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the room of pipelines', () => {
  it('cuts the one that holds most, and no other, when they hold too much', () => {
    const small = Array.from({ length: 40 }, () => new FakeGuest());
    for (const guest of small) guest.hold(MiB);
    const large = new FakeGuest();
    large.hold(PIPELINES_BYTES_MAX - 40 * MiB);
    expect(large.cuts).toBe(0);
    small[0]?.hold(1);
    expect(large.cuts).toBe(1);
    expect(small.every(({ cuts }) => cuts === 0)).toBe(true);
    // What it held is free for others.
    for (const guest of small.slice(0, 20)) guest.hold(MiB);
    expect(small.every(({ cuts }) => cuts === 0)).toBe(true);
  });

  it('cuts as many as it takes', () => {
    const guests = Array.from({ length: 10 }, () => new FakeGuest());
    for (const guest of guests) guest.hold(PIPELINES_BYTES_MAX / 10);
    const greedy = new FakeGuest();
    greedy.hold(PIPELINES_BYTES_MAX / 5);
    expect(greedy.cuts).toBe(1);
    expect(guests.filter(({ cuts }) => cuts > 0)).toHaveLength(0);
    const other = new FakeGuest();
    other.hold(PIPELINES_BYTES_MAX / 11);
    const gone = [...guests, other].filter(({ cuts }) => cuts > 0);
    expect(gone).toHaveLength(1);
  });

  it('cuts the largest of the connection that holds most, which may have the smaller ones', () => {
    const honest = new FakeGuest();
    honest.hold(8 * MiB);
    const many = Array.from({ length: 16 }, () => new FakeGuest('greedy'));
    for (const guest of many) guest.hold(2 * MiB);
    const others = Array.from({ length: 4 }, () => new FakeGuest());
    for (const guest of others) guest.hold(6 * MiB);
    many[3]?.hold(MiB);
    expect(many.map(({ cuts }) => cuts)).toEqual(many.map((_, i) => (i === 3 ? 1 : 0)));
    expect([honest, ...others].every(({ cuts }) => cuts === 0)).toBe(true);
    // What was cut is counted no more for its connection either: another one holds most now.
    for (const guest of many.slice(4)) room.leave(guest);
    const last = new FakeGuest();
    last.hold(30 * MiB);
    expect(last.cuts).toBe(1);
  });

  it('has a bounded number of places for one connection, and looks for one among its own', () => {
    const other = new FakeGuest();
    const own = Array.from({ length: PIPELINES_PER_CONNECTION_MAX }, () => new FakeGuest('greedy'));
    other.idleSinceMs = performance.now();
    vi.advanceTimersByTime(PIPELINE_IDLE_MS + 1);
    expect(room.makePlace('greedy')).toBe(false);
    expect(room.makePlace('new')).toBe(true);
    const [first] = own;
    if (first !== undefined) first.idleSinceMs = 0;
    expect(room.makePlace('greedy')).toBe(true);
    expect(first?.gaveWay).toBe(true);
    expect(other.gaveWay).toBe(false);
  });

  it('counts what has left no more', () => {
    for (let i = 0; i < 100; i += 1) {
      const guest = new FakeGuest();
      guest.hold(PIPELINES_BYTES_MAX);
      room.leave(guest);
      guest.hold(-PIPELINES_BYTES_MAX);
      expect(guest.cuts).toBe(0);
    }
  });

  it('has a place when somebody has had nothing to do for a while: who had it for longest', () => {
    const guests = Array.from({ length: PIPELINES_MAX }, () => new FakeGuest());
    expect(room.makePlace('new')).toBe(false);
    const [first, second, third] = guests;
    vi.advanceTimersByTime(10);
    for (const guest of [third, second, first]) {
      if (guest !== undefined) guest.idleSinceMs = performance.now();
      vi.advanceTimersByTime(10);
    }
    expect(room.makePlace('new')).toBe(false);
    vi.advanceTimersByTime(PIPELINE_IDLE_MS);
    expect(room.makePlace('new')).toBe(true);
    expect(guests.filter(({ gaveWay }) => gaveWay)).toEqual([third]);
  });

  it('looks after them as long as there are some, and takes nobody when it has retired', () => {
    const guest = new FakeGuest();
    vi.advanceTimersByTime(3_000);
    expect(guest.looks).toBe(3);
    room.retire();
    expect(guest.retired).toBe(true);
    expect(room.makePlace('new')).toBe(false);
    // It is soon told: the member waits two seconds.
    vi.advanceTimersByTime(500);
    expect(guest.looks).toBeGreaterThanOrEqual(5);
    room.leave(guest);
    expect(vi.getTimerCount()).toBe(0);
  });
});
