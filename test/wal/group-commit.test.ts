import { describe, expect, it } from 'vitest';
import { DiskError } from '../../src/ports/disk.ts';
import { logIndex } from '../../src/types/ids.ts';
import type { Wal, WalEvent } from '../../src/wal/types.ts';
import { WalError } from '../../src/wal/types.ts';
import { openWal } from '../../src/wal/wal.ts';
import { failing, MemoryDisk } from './memory-disk.ts';
import {
  CONFIGURATION,
  entries,
  entry,
  flush,
  hardState,
  ManualClock,
  open,
  openStarted,
  options,
  reopened,
  STREAM,
  show,
} from './support.ts';

const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };

function append(wal: Wal, index: number): Promise<void> {
  return wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, 1) });
}

/** Lets the syncs of a disk wait until the test lets them go. */
function gate(disk: MemoryDisk): { release: () => void; waiting: () => number } {
  let waiters: (() => void)[] = [];
  disk.before = (operation) => {
    if (operation !== 'sync') return undefined;
    return new Promise<void>((resolve) => waiters.push(resolve));
  };
  return {
    release: () => {
      const ready = waiters;
      waiters = [];
      for (const resolve of ready) resolve();
    },
    waiting: () => waiters.length,
  };
}

describe('W3: group commit', () => {
  it('writes once and syncs once for what is appended in one turn', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { write, sync } = disk.counts;
    await Promise.all(Array.from({ length: 50 }, (_, i) => append(wal, i + 1)));
    await flush();
    // And the sync mark behind it, which nobody waits for.
    expect(disk.counts.write - write).toBe(2);
    expect(disk.counts.sync - sync).toBe(1);
  });

  it('writes the next batch while a sync runs, and all that came meanwhile shares the next sync', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { write, sync } = disk.counts;
    const { release, waiting } = gate(disk);
    const done: number[] = [];
    const note = (index: number) => append(wal, index).then(() => done.push(index));
    const first = note(1);
    await flush();
    expect(waiting()).toBe(1);
    const second = note(2);
    await flush();
    const third = [note(3), note(4)];
    await flush();
    expect(disk.counts.write - write).toBe(3);
    expect(disk.counts.sync - sync).toBe(1);
    expect(done).toEqual([]);
    release();
    await first;
    await flush();
    expect(done).toEqual([1]);
    expect(disk.counts.sync - sync).toBe(2);
    release();
    await Promise.all([second, ...third]);
    expect(done).toEqual([1, 2, 3, 4]);
    expect(disk.counts.sync - sync).toBe(2);
  });

  it('an append without content waits for those before it and writes nothing', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { release } = gate(disk);
    const order: string[] = [];
    const first = append(wal, 1).then(() => order.push('first'));
    const empty = wal.append({ stream: STREAM, hardState: null, entries: [] }).then(() => order.push('empty'));
    await flush();
    expect(order).toEqual([]);
    release();
    await Promise.all([first, empty]);
    expect(order).toEqual(['first', 'empty']);
    await flush();
    const { write, sync } = disk.counts;
    await wal.append({ stream: STREAM, hardState: null, entries: [] });
    await flush();
    expect(disk.counts).toMatchObject({ write, sync });
  });

  it('tells the observer how long a sync took and what it covered', async () => {
    const events: WalEvent[] = [];
    const clock = new ManualClock();
    const disk = new MemoryDisk();
    const wal = await openWal(disk, clock, options({ observe: (event) => events.push(event) }));
    disk.before = (operation) => {
      if (operation === 'sync') clock.nowMs += 7;
    };
    await wal.bootstrap(STREAM, { voters: [], votersOutgoing: [], learners: [] });
    expect(events).toEqual([{ kind: 'synced', records: 3, bytes: expect.any(Number), durationMs: 7 }]);
  });

  it('resolves only what is durable: a crash after the answer keeps it, whatever else is lost', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await append(wal, 1);
    disk.crash(() => false);
    expect((await reopened(disk))?.entries).toEqual(show(entries(1, 1, 1)));
  });

  it('does not write ahead of the sync without bound', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { segmentBytes: 64 * 1024 * 1024, compressBytesMin: 1 << 30 });
    const { release, waiting } = gate(disk);
    const before = disk.bytesWritten;
    const payload = new Uint8Array(1024 * 1024);
    const all = Array.from({ length: 40 }, (_, i) =>
      wal.append({ stream: STREAM, hardState: null, entries: [{ ...entry(i + 1, 1, ''), payload }] }),
    );
    await flush();
    await flush();
    expect(disk.bytesWritten - before).toBeLessThan(24 * 1024 * 1024);
    disk.before = () => undefined;
    while (waiting() > 0) release();
    await Promise.all(all);
  });
});

describe('W5: a failed write or sync is final', () => {
  it.each(['write', 'sync'] as const)(
    '%s: everyone waiting and every later call gets the same error',
    async (operation) => {
      const disk = new MemoryDisk();
      const wal = await openStarted(disk);
      await append(wal, 1);
      disk.before = failing(operation, 'io');
      const outcomes = await Promise.allSettled([append(wal, 2), append(wal, 3)]);
      disk.before = () => undefined;
      const later = await Promise.allSettled([
        append(wal, 4),
        wal.read(STREAM, entry(1, 1, '').index, entry(1, 1, '').index, 1),
      ]);
      const reasons = [...outcomes, ...later].map((outcome) => (outcome.status === 'rejected' ? outcome.reason : null));
      expect(reasons[0]).toBeInstanceOf(WalError);
      expect(reasons[0]).toMatchObject({ problem: 'device', cause: expect.any(DiskError) });
      expect(new Set(reasons).size).toBe(1);
      const { write, sync } = disk.counts;
      await wal.close();
      expect(disk.counts).toMatchObject({ write, sync });
    },
  );

  it('a write that fails while an earlier sync runs takes that batch with it', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { release } = gate(disk);
    const first = append(wal, 1);
    first.catch(() => undefined);
    await flush();
    const held = disk.before;
    disk.before = (operation, path) =>
      operation === 'write' ? failing('write', 'io')(operation, path) : held(operation, path);
    const second = append(wal, 2);
    await expect(second).rejects.toMatchObject({ problem: 'device' });
    release();
    await expect(first).rejects.toMatchObject({ problem: 'device' });
    await wal.close();
  });

  it('a batch that can not be taken in after its sync fails the log, and nobody waits for ever', async () => {
    const disk = new MemoryDisk();
    const decodeConfiguration = (): never => {
      throw new Error('no configuration');
    };
    const wal = await openStarted(disk, { decodeConfiguration });
    const outcomes = await Promise.allSettled([
      append(wal, 1),
      wal.append({ stream: STREAM, hardState: null, entries: [entry(2, 1, 'a', 'configuration')] }),
      append(wal, 3),
    ]);
    const later = await Promise.allSettled([append(wal, 4)]);
    const reasons = [...outcomes, ...later].map((outcome) => (outcome.status === 'rejected' ? outcome.reason : null));
    expect(reasons[0]).toMatchObject({ message: 'no configuration' });
    expect(new Set(reasons).size).toBe(1);
    await wal.close();
  });

  it('keeps what was acknowledged', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await append(wal, 1);
    disk.before = failing('sync', 'io');
    await expect(append(wal, 2)).rejects.toMatchObject({ problem: 'device' });
    disk.before = () => undefined;
    disk.crash(() => false);
    expect((await reopened(disk))?.entries).toEqual(show(entries(1, 1, 1)));
  });

  it('writes what it keeps once more at open: the page cache may call clean what the disk never got', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await append(wal, 1);
    // The sync fails, the pages are marked clean and the disk has none of them; the process dies, the machine does not.
    disk.before = failing('sync', 'io');
    await expect(append(wal, 2)).rejects.toMatchObject({ problem: 'device' });
    disk.before = () => undefined;
    disk.forgetDirty();
    disk.kill();
    const after = await open(disk);
    expect(after.streams[0]?.lastIndex).toBe(2);
    disk.crash(() => false);
    expect((await reopened(disk))?.entries).toHaveLength(2);
  });
});

describe('a full disk', () => {
  /** Fills the log until it waits for room. */
  async function full(
    disk: MemoryDisk,
    events: WalEvent[] = [],
  ): Promise<{ wal: Wal; done: number[]; all: Promise<unknown> }> {
    const wal = await open(disk, SMALL, events);
    await wal.bootstrap(STREAM, CONFIGURATION);
    await wal.append({ stream: STREAM, hardState: hardState(1), entries: [] });
    disk.before = failing('allocate', 'no_space');
    const done: number[] = [];
    const appends = Array.from({ length: 300 }, (_, i) => append(wal, i + 1).then(() => done.push(i + 1)));
    const all = Promise.all(appends);
    all.catch(() => undefined);
    for (let turn = 0; turn < 200; turn += 1) await flush();
    expect(done.length).toBeGreaterThan(50);
    expect(done.length).toBeLessThan(300);
    return { wal, done, all };
  }

  it('W5: is said, and what has no room waits until there is some', async () => {
    const disk = new MemoryDisk();
    const events: WalEvent[] = [];
    const { wal, all } = await full(disk, events);
    expect(wal.spaceLow).toBe(true);
    expect(events.filter(({ kind }) => kind === 'space')).toEqual([{ kind: 'space', low: true }]);
    expect(await wal.probeSpace()).toBe(true);
    expect(show(await wal.read(STREAM, logIndex(1), logIndex(1), 100))).toHaveLength(1);
    disk.before = () => undefined;
    expect(await wal.probeSpace()).toBe(false);
    await all;
    expect(wal.spaceLow).toBe(false);
    expect(events.filter(({ kind }) => kind === 'space')).toHaveLength(2);
    await wal.close();
    expect((await reopened(disk, SMALL))?.entries).toHaveLength(300);
  });

  it('W5: is said before the segment in use is full, so that what must go on has room', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    disk.before = failing('allocate', 'no_space');
    let index = 1;
    for (; !wal.spaceLow; index += 1) await append(wal, index).then(flush);
    for (let inTerm = 2; inTerm < 20; inTerm += 1) {
      await wal.append({ stream: STREAM, hardState: hardState(inTerm, 'b'), entries: [] });
    }
    expect(wal.spaceLow).toBe(true);
  });

  it('W5: closing does not wait for room, and loses nothing that was acknowledged', async () => {
    const disk = new MemoryDisk();
    const { wal, done, all } = await full(disk);
    await wal.close();
    await expect(all).rejects.toMatchObject({
      problem: 'device',
      message: expect.stringMatching(/disk is full: free space/),
    });
    expect(disk.paths()).toHaveLength(1);
    disk.before = () => undefined;
    disk.crash(() => false);
    const after = await open(disk, SMALL);
    expect(after.streams[0]?.lastIndex).toBe(done.length);
    await append(after, done.length + 1);
    expect(disk.paths()).toHaveLength(2);
  });

  it('W5: whoever stops need not wait for room: what waits is rejected, and the log can be closed', async () => {
    const disk = new MemoryDisk();
    const { wal, done, all } = await full(disk);
    wal.waitForRoom(false);
    await expect(all).rejects.toMatchObject({ problem: 'device' });
    await wal.close();
    disk.before = () => undefined;
    expect((await reopened(disk, SMALL))?.entries).toHaveLength(done.length);
  });

  it('W5: what finds no room while nobody looks for some is rejected at once', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    wal.waitForRoom(false);
    disk.before = failing('allocate', 'no_space');
    let durable = 0;
    const fill = async (): Promise<void> => {
      for (; durable < 300; durable += 1) await append(wal, durable + 1);
    };
    await expect(fill()).rejects.toMatchObject({
      problem: 'device',
      message: expect.stringMatching(/disk is full: free space/),
    });
    await wal.close();
    disk.before = () => undefined;
    expect((await reopened(disk, SMALL))?.entries).toHaveLength(durable);
  });

  it('is forgiven while the segment in use has room, if there is space when it is needed', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    let refused = 0;
    disk.before = (operation, path) => {
      if (operation !== 'allocate' || refused > 0) return;
      refused += 1;
      throw new DiskError('no_space', path, 'no space');
    };
    for (let index = 1; index <= 300; index += 1) await append(wal, index);
    expect(refused).toBe(1);
    await wal.close();
    expect((await reopened(disk, SMALL))?.entries).toHaveLength(300);
  });
});

describe('close', () => {
  it('waits for what is in flight, refuses what comes later, and may be called again', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const last = append(wal, 1);
    const closing = wal.close();
    await expect(append(wal, 2)).rejects.toMatchObject({ problem: 'closed' });
    await Promise.all([last, closing, wal.close()]);
    expect((await reopened(disk))?.entries).toHaveLength(1);
  });

  it('leaves a log alone that is only opened and closed', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await append(wal, 1);
    await wal.close();
    const bytes = Buffer.from(disk.bytes(disk.paths()[0] ?? ''));
    await reopened(disk);
    await reopened(disk);
    expect(Buffer.from(disk.bytes(disk.paths()[0] ?? '')).equals(bytes)).toBe(true);
    const again = await open(disk);
    await again.append({ stream: STREAM, hardState: hardState(2), entries: [] });
    await again.close();
    expect((await reopened(disk))?.hardState).toEqual(hardState(2));
  });
});
