/** A2: a member that may have acknowledged before its fsync is taken for one that lost a part of its log, wherever it crashed. */
import { describe, expect, it } from 'vitest';
import { ASYNC_FILE } from '../../src/storage/async-marker.ts';
import { must } from '../../src/types/assert.ts';
import { SEGMENT_HEADER_BYTES } from '../../src/wal/record.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import { CONFIGURATION, flipped, flush, hardState } from '../wal/support.ts';
import { closed, contents, copyOf, ENTRIES, LOG, type Machine, member, open } from './support.ts';

const MARKER = 'recovering.json';

function has({ disk }: Machine, path: string): boolean {
  return disk.paths().includes(path);
}

/** Runs `work` and stops it for good before its n-th operation on the disk. Returns false when it has fewer. */
async function stopped(machine: Machine, point: number, work: () => Promise<unknown>): Promise<boolean> {
  let left = point;
  const stop = (): Promise<void> | undefined => {
    left -= 1;
    return left <= 0 ? new Promise<void>(() => undefined) : undefined;
  };
  machine.disk.before = stop;
  machine.folder.before = stop;
  let through = false;
  void work().then(() => {
    through = true;
  });
  for (let turn = 0; left > 0 && !through && turn < 2_000; turn += 1) await flush();
  machine.disk.before = () => undefined;
  machine.folder.before = () => undefined;
  return !through;
}

/** A member that was stopped in the middle of it, with everything durable that it wrote. */
async function marked(): Promise<Machine> {
  const machine = await member();
  const storage = await open(machine);
  await storage.asyncMark.write();
  await closed(storage);
  return machine;
}

/** Nothing of the log is thrown away: what is there saves fetching it. */
async function expectRecovering(machine: Machine): Promise<void> {
  const storage = await open(machine);
  expect(storage).toMatchObject({ recovering: true, report: { kind: 'recovering', movedAside: [] } });
  const { hardState: vote, configuration, entries } = must(await contents(storage.wal), 'the log holds the stream');
  expect({ vote, configuration, entries }).toEqual({
    vote: hardState(3, 'b'),
    configuration: CONFIGURATION,
    entries: ENTRIES,
  });
  expect(has(machine, ASYNC_FILE)).toBe(false);
  expect(has(machine, MARKER)).toBe(true);
  await closed(storage);
}

describe('A2: a start with the mark', () => {
  it('is that of a member that recovers, until it has recovered', async () => {
    const machine = await marked();
    await expectRecovering(machine);
    await expectRecovering(machine);
    const storage = await open(machine);
    expect(storage.report.problem).toMatchObject({ file: ASYNC_FILE });
    await storage.finishRecovery();
    await closed(storage);
    expect(await open(machine)).toMatchObject({ recovering: false, report: { kind: 'sound' } });
  });

  it('counts also when the mark is torn or empty: it may have been on its way again', async () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), new TextEncoder().encode('{"ver')]) {
      const machine = await marked();
      machine.disk.replace(ASYNC_FILE, bytes);
      await expectRecovering(machine);
    }
  });

  it('comes on top of other damage', async () => {
    const machine = await marked();
    const path = `${LOG}/${segmentPath(1)}`;
    machine.disk.replace(path, flipped(machine.disk.bytes(path), (SEGMENT_HEADER_BYTES + 300) * 8));
    const storage = await open(machine);
    expect(storage).toMatchObject({ recovering: true, report: { kind: 'recovering' } });
    expect(storage.report.movedAside).toHaveLength(1);
    expect(storage.wal.streams).toMatchObject([{ hardState: hardState(3, 'b'), firstIndex: 41 }]);
    await closed(storage);
  });

  it.each([false, true])(
    'a crash at each step of it ends in the same (what was not synced stays: %s)',
    async (keep) => {
      let points = 0;
      for (let point = 1; ; point += 1) {
        const machine = copyOf(await marked());
        const more = await stopped(machine, point, () => open(machine));
        machine.disk.crash(() => keep);
        await expectRecovering(machine);
        if (!more) break;
        points = point;
      }
      expect(points).toBeGreaterThan(10);
    },
  );
});

describe('A2: a crash while the mark comes or goes', () => {
  const changes = [
    ['comes', 'write'],
    ['goes', 'remove'],
  ] as const;

  it.each(changes)(
    '%s: the next start is sound or recovers, and once it has come or gone there is no doubt',
    async (_, change) => {
      for (const keep of [false, true]) {
        for (let point = 1; ; point += 1) {
          const machine = await member();
          const storage = await open(machine);
          if (change === 'remove') await storage.asyncMark.write();
          const more = await stopped(machine, point, () => storage.asyncMark[change]());
          machine.disk.crash(() => keep);
          const next = await open(machine);
          if (!more) expect(next.recovering).toBe(change === 'write');
          expect((await contents(next.wal))?.entries).toEqual(ENTRIES);
          await closed(next);
          if (!more) break;
        }
      }
    },
  );

  it('comes and goes as often as one likes', async () => {
    const machine = await member();
    const storage = await open(machine);
    for (let round = 0; round < 3; round += 1) {
      await storage.asyncMark.write();
      await storage.asyncMark.write();
      expect(has(machine, ASYNC_FILE)).toBe(true);
      await storage.asyncMark.remove();
      await storage.asyncMark.remove();
      expect(has(machine, ASYNC_FILE)).toBe(false);
    }
    await closed(storage);
    expect((await open(machine)).recovering).toBe(false);
  });
});
