/** W4: what was lost is noticed, said, kept aside, and not voted on. */
import { describe, expect, it } from 'vitest';
import type { Storage } from '../../src/storage/types.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';
import { SEGMENT_HEADER_BYTES } from '../../src/wal/record.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { ALL_INDEXES, CONFIGURATION, entries, flipped, flush, hardState, STREAM, show } from '../wal/support.ts';
import { closed, contents, copyOf, ENTRIES, LOG, type Machine, mark, member, open, StoreFolder } from './support.ts';

const FIRST = `${LOG}/${segmentPath(1)}`;
const SECOND = `${LOG}/${segmentPath(2)}`;
const COPY = 'hard-state';
const MARKER = 'recovering.json';

/** The new log begins behind the store, with the vote that was given. */
async function expectRecovering(machine: Machine, index = 40, inTerm = 2): Promise<Storage> {
  const storage = await open(machine);
  expect(storage.recovering).toBe(true);
  expect(storage.report.kind).toBe('recovering');
  expect(storage.report.problem?.file).toBeTruthy();
  expect(storage.wal.streams).toMatchObject([
    { hardState: hardState(3, 'b'), firstIndex: index + 1, lastIndex: index, baseTerm: inTerm },
  ]);
  return storage;
}

function segments({ disk }: Machine): string[] {
  return disk.paths().filter((path) => path.startsWith(`${LOG}/`));
}

function flip({ disk }: Machine, path: string, at: number): void {
  disk.replace(path, flipped(disk.bytes(path), at * 8));
}

describe('W4: a sound data folder', () => {
  it('opens as it was left, new and old', async () => {
    const machine = await member();
    expect(segments(machine).length).toBeGreaterThan(1);
    const storage = await open(machine);
    expect(storage).toMatchObject({ recovering: false, report: { kind: 'sound', problem: null, movedAside: [] } });
    expect(await contents(storage.wal)).toEqual({
      hardState: hardState(3, 'b'),
      configuration: CONFIGURATION,
      entries: ENTRIES,
    });
    await closed(storage);
    expect(machine.disk.paths().filter((path) => !path.startsWith(`${LOG}/`))).toEqual([COPY]);
  });

  it('is told of an image that was installed before the log knew', async () => {
    for (const [index, inTerm, last] of [
      [50, 2, 60],
      [90, 3, 90],
      [55, 3, 55],
    ] as const) {
      const machine = await member();
      machine.folder.set(index, inTerm, true);
      const storage = await open(machine);
      expect(storage.wal.streams).toMatchObject([{ firstIndex: index + 1, lastIndex: last, baseTerm: inTerm }]);
      await closed(storage);
      const again = await open(machine);
      expect(again.recovering).toBe(false);
      expect(again.wal.streams).toMatchObject([{ firstIndex: index + 1, lastIndex: last, baseTerm: inTerm }]);
      expect((await again.store.state(STREAM)).installing).toBe(false);
    }
  });
});

describe('W4: a lost log', () => {
  it('damaged in the middle: begins anew behind the store, and keeps what was there', async () => {
    const machine = await member();
    const bytes = Buffer.from(machine.disk.bytes(FIRST));
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    const storage = await expectRecovering(machine);
    expect(storage.report.problem).toMatchObject({ file: FIRST });
    expect(storage.report.problem?.offset).toBeGreaterThanOrEqual(SEGMENT_HEADER_BYTES);
    const [aside = ''] = storage.report.movedAside;
    expect(aside).toMatch(/^damaged-\d+-wal$/);
    const kept = Buffer.from(machine.disk.bytes(`${aside}/${segmentPath(1)}`));
    expect(kept.compare(bytes)).not.toBe(0);
    expect(kept.length).toBe(bytes.length);
    await storage.wal.append({ stream: STREAM, hardState: hardState(4), entries: entries(41, 45, 4) });
    await closed(storage);
    const again = await open(machine);
    expect(again.recovering).toBe(true);
    expect(again.report.problem).toEqual(storage.report.problem);
    expect((await contents(again.wal))?.entries).toEqual(show(entries(41, 45, 4)));
    await again.finishRecovery();
    await again.finishRecovery();
    await closed(again);
    expect(machine.disk.paths()).not.toContain(MARKER);
    expect((await open(machine)).report.kind).toBe('sound');
  });

  it.each([
    ['a missing segment in between', (machine: Machine) => machine.disk.delete(SECOND)],
    ['all segments', (machine: Machine) => segments(machine).forEach((path) => void machine.disk.delete(path))],
    [
      'its last segments',
      (machine: Machine) =>
        segments(machine)
          .slice(1)
          .forEach((path) => void machine.disk.delete(path)),
    ],
    [
      'its first segment, which the store does not cover',
      (machine: Machine) => {
        machine.disk.delete(FIRST);
        machine.folder.states.clear();
      },
    ],
    [
      'swapped segments',
      ({ disk }: Machine) => {
        const second = disk.bytes(SECOND);
        disk.replace(SECOND, disk.bytes(FIRST));
        disk.replace(FIRST, second);
      },
    ],
    ['a segment under the name of another', ({ disk }: Machine) => disk.replace(SECOND, disk.bytes(FIRST))],
  ] as const)('D1 D5: %s', async (_, damage) => {
    const machine = await member();
    damage(machine);
    const index = machine.folder.states.size === 0 ? 0 : 40;
    await closed(await expectRecovering(machine, index, index === 0 ? 0 : 2));
  });

  it('whose first segment is gone, but the store covers it, is no loss', async () => {
    const machine = await member();
    machine.folder.set(60, 2);
    machine.disk.delete(FIRST);
    const storage = await open(machine);
    expect(storage.recovering).toBe(false);
    const [stream] = storage.wal.streams;
    expect(show(await storage.wal.read(STREAM, stream?.firstIndex ?? logIndex(0), ALL_INDEXES, 1 << 20))).toEqual(
      ENTRIES.slice((stream?.firstIndex ?? 0) - 1),
    );
  });

  it('of another member is refused, and nothing is moved', async () => {
    const machine = await member();
    const other = new MemoryDisk();
    for (const path of machine.disk.paths()) other.replace(path, machine.disk.bytes(path));
    const { options } = await import('../wal/support.ts');
    const wal = options({ segmentBytes: 8 * 1024, memberId: memberId('b') });
    await expect(open(machine, { wal })).rejects.toMatchObject({ problem: 'foreign' });
    machine.disk.delete(COPY);
    await expect(open(machine, { wal })).rejects.toMatchObject({ problem: 'foreign', file: FIRST });
    expect(machine.disk.paths()).not.toContain(MARKER);
  });

  it('D6: is refused when nothing can vouch for the votes: a missing or a damaged copy', async () => {
    for (const spoil of [
      (machine: Machine) => machine.disk.delete(COPY),
      (machine: Machine) => flip(machine, COPY, 600),
      (machine: Machine) => machine.disk.replace(COPY, machine.disk.bytes(COPY).slice(0, 700)),
    ]) {
      const machine = await member();
      flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
      spoil(machine);
      for (let start = 0; start < 3; start += 1) {
        await expect(open(machine)).rejects.toMatchObject({
          problem: 'corrupt',
          file: FIRST,
          message: expect.stringMatching(/offset \d+.*can not tell what it voted.*quorate member replace/),
        });
      }
      expect(machine.disk.paths()).not.toContain(MARKER);
    }
  });

  it('of the only member is refused with file and offset, and nothing is moved: there is nobody to recover from', async () => {
    const alone = { voters: [memberId('a')], votersOutgoing: [], learners: [] };
    const alonePlaced = { index: logIndex(0), configuration: alone };
    const spoils: readonly ((machine: Machine) => void)[] = [
      ({ folder }) =>
        folder.states.set(STREAM, { mark: { ...mark(40, 2), configuration: alonePlaced }, installing: false }),
      // The tables are lost as well: then the first settings alone tell.
      ({ folder }) => {
        folder.damaged = true;
      },
    ];
    for (const spoil of spoils) {
      const machine = await member();
      spoil(machine);
      flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
      const before = machine.disk.paths();
      const says = /is damaged at offset \d+: .*the only one of its cluster.*nothing was moved.*quorate restore/;
      const message = expect.stringMatching(says);
      const refused = { problem: 'corrupt', file: FIRST, message };
      await expect(open(machine, { founding: alone })).rejects.toMatchObject(refused);
      expect(machine.disk.paths()).toEqual(before);
      expect(machine.folder.aside).toEqual([]);
    }
  });

  it('D6: shorter than the store, with a damaged copy, is refused at every start', async () => {
    const machine = await member();
    for (const path of segments(machine).slice(1)) machine.disk.delete(path);
    flip(machine, COPY, 600);
    for (let start = 0; start < 3; start += 1)
      await expect(open(machine)).rejects.toMatchObject({ problem: 'corrupt' });
  });
});

describe('W4: the copy of the hard states', () => {
  it.each([
    ['missing', (machine: Machine) => machine.disk.delete(COPY)],
    ['damaged', (machine: Machine) => flip(machine, COPY, 520)],
  ] as const)('%s: is written again from a log that is whole', async (_, spoil) => {
    const machine = await member();
    spoil(machine);
    await closed(await open(machine));
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    await closed(await expectRecovering(machine));
  });

  it('D6: newer than the log counts: the vote was given', async () => {
    const machine = await member();
    const before = machine.disk.copy();
    const storage = await open(machine);
    await storage.wal.append({ stream: STREAM, hardState: hardState(9, 'c'), entries: [] });
    await closed(storage);
    for (const path of before.paths()) if (path.startsWith(LOG)) machine.disk.replace(path, before.bytes(path));
    const again = await open(machine);
    expect(again.wal.streams).toMatchObject([{ hardState: hardState(9, 'c') }]);
    await closed(again);
    machine.disk.delete(COPY);
    expect((await open(machine)).wal.streams).toMatchObject([{ hardState: hardState(9, 'c') }]);
  });

  it('that contradicts the log is damage', async () => {
    const machine = await member();
    const other = await member();
    const storage = await open(machine);
    await storage.wal.append({ stream: STREAM, hardState: hardState(5, 'b'), entries: [] });
    await closed(storage);
    const twin = await open(other);
    await twin.wal.append({ stream: STREAM, hardState: hardState(5, 'c'), entries: [] });
    await closed(twin);
    machine.disk.replace(COPY, other.disk.bytes(COPY));
    await expect(open(machine)).rejects.toMatchObject({ problem: 'corrupt' });
  });
});

describe('W4: a lost store', () => {
  it('is rebuilt from a log that is complete', async () => {
    const machine = await member();
    machine.folder.damaged = true;
    const storage = await open(machine);
    expect(storage).toMatchObject({ recovering: false, report: { kind: 'rebuilt', problem: { file: 'store' } } });
    expect(machine.folder.aside).toHaveLength(1);
    expect((await contents(storage.wal))?.entries).toEqual(ENTRIES);
    expect((await storage.store.state(STREAM)).mark).toBeNull();
  });

  it('that its loader found damaged is rebuilt as well', async () => {
    const machine = await member();
    const storage = await open(machine, { storeProblem: new Error('the rows do not add up') });
    expect(storage.report).toMatchObject({ kind: 'rebuilt', problem: { message: 'the rows do not add up' } });
  });

  it('needs the peers when the log does not begin with the first entry', async () => {
    const machine = await member();
    const first = await open(machine);
    await first.wal.compact(new Map([[STREAM, logIndex(40)]]));
    await closed(first);
    for (const damage of [(m: Machine) => (m.folder.damaged = true), (m: Machine) => m.folder.set(1, 2)]) {
      const lost = copyOf(machine);
      damage(lost);
      const index = lost.folder.damaged ? 0 : 1;
      const storage = await expectRecovering(lost, index, index === 0 ? 0 : 2);
      expect(storage.report.movedAside).toHaveLength(index === 0 ? 2 : 1);
      await closed(storage);
    }
  });

  it('and a lost log as well: begins with nothing but the vote and whom the cluster was begun with', async () => {
    const machine = await member();
    machine.folder.damaged = true;
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    const storage = await expectRecovering(machine, 0, 0);
    expect(storage.wal.streams[0]?.configurations).toEqual([{ index: 0, configuration: CONFIGURATION }]);
  });

  it('and a lost log as well is refused when nobody knows any more whom the cluster was begun with', async () => {
    const machine = await member();
    machine.folder.damaged = true;
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    const refused = open(machine, { founding: null });
    await expect(refused).rejects.toThrow(/which members the cluster was begun with.*quorate member replace/);
    await closed(await expectRecovering(machine, 0, 0));
  });

  it('of another term than the log is damage', async () => {
    const machine = await member();
    machine.folder.states.set(STREAM, { mark: mark(40, 3), installing: false });
    await closed(await expectRecovering(machine, 40, 3));
  });
});

describe('W4: a log that begins where the store stands', () => {
  it('S3: begins there only once the store is durable, so that a loss of power takes nothing that the log lacks', async () => {
    const machine = await member();
    machine.folder.synced.clear();
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    await closed(await open(machine));
    machine.folder.losePower();
    await closed(await expectRecovering(machine, 40, 2));
  });
});

describe('W4: a damaged marker', () => {
  it('is refused, whichever bit it is', async () => {
    const machine = await member();
    flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
    await closed(await open(machine));
    const bytes = machine.disk.bytes(MARKER);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      machine.disk.replace(MARKER, flipped(bytes, bit));
      await expect(open(machine)).rejects.toMatchObject({ problem: 'corrupt', file: MARKER });
    }
  });
});

describe('W4: a crash at each step of setting about recovery', () => {
  const damages: readonly [string, (machine: Machine) => void, number][] = [
    ['log', (machine) => flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300), 40],
    [
      'log and store',
      (machine) => {
        flip(machine, FIRST, SEGMENT_HEADER_BYTES + 300);
        machine.folder.damaged = true;
      },
      0,
    ],
  ];

  it.each(damages)(
    'of the %s ends in the same at the next start',
    async (_, damage, index) => {
      const lost = await member();
      damage(lost);
      const probe = copyOf(lost);
      let count = 0;
      const counting = () => {
        count += 1;
      };
      probe.disk.before = counting;
      probe.folder.before = counting;
      await open(probe);
      expect(count).toBeGreaterThan(30);
      for (let point = 1; point <= count; point += 1) {
        for (const keep of [false, true]) {
          const machine = copyOf(lost);
          let left = point;
          const stop = (): Promise<void> | undefined => {
            left -= 1;
            return left <= 0 ? new Promise<void>(() => undefined) : undefined;
          };
          machine.disk.before = stop;
          machine.folder.before = stop;
          void open(machine);
          for (let turn = 0; left > 0 && turn < 2_000; turn += 1) await flush();
          machine.disk.before = () => undefined;
          machine.folder.before = () => undefined;
          machine.disk.crash(() => keep);
          const storage = await expectRecovering(machine, index, index === 0 ? 0 : 2);
          await closed(storage);
          const originals = machine.disk.paths().filter((path) => /^damaged-\d+-wal\/\d+\.wal$/.test(path));
          expect(originals.length).toBeGreaterThanOrEqual(segments(lost).length);
        }
      }
      console.info(`crash points of setting about recovery: ${count}`);
    },
    60_000,
  );
});

describe('W2: hard states are durable twice before an append resolves', () => {
  it('D2: a copy that can not be written stops the log', async () => {
    const machine = await member();
    const { wal } = await open(machine);
    machine.disk.before = (operation, path) => {
      if (operation === 'sync' && path === COPY) throw new Error('EIO');
    };
    await expect(wal.append({ stream: STREAM, hardState: hardState(7), entries: [] })).rejects.toThrow(/EIO/);
    await expect(wal.append({ stream: STREAM, hardState: null, entries: entries(61, 61, 3) })).rejects.toThrow(/EIO/);
  });

  it('a new folder holds nothing', async () => {
    const storage = await open({ disk: new MemoryDisk(), folder: new StoreFolder() });
    expect(storage.wal.streams).toEqual([]);
    expect(storage.report.kind).toBe('sound');
  });
});
