/** W4 W6: the same on the file system. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStorage } from '../../src/storage/open-storage.ts';
import type { Storage } from '../../src/storage/types.ts';
import { logIndex } from '../../src/types/ids.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { CONFIGURATION, entries, hardState, STREAM } from '../wal/support.ts';
import { closed, LOG, StoreFolder, storageOptions } from './support.ts';

describe('W4: a data folder on the file system', () => {
  let root = '';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'quorate-storage-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  const folder = new StoreFolder();
  const open = (): Promise<Storage> =>
    openStorage({ ...storageOptions({ disk: new MemoryDisk(), folder }), root: new NodeDisk(root) });

  it('is written, compacted, reused, damaged and recovered', async () => {
    const first = await open();
    await first.wal.bootstrap(STREAM, CONFIGURATION);
    await first.wal.append({ stream: STREAM, hardState: hardState(3, 'b'), entries: [] });
    for (let index = 1; index <= 200; index += 1) {
      await first.wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, 3, 'x'.repeat(200)) });
      if (index % 50 === 0) await first.wal.compact(new Map([[STREAM, logIndex(index)]]));
    }
    await closed(first);
    folder.set(200, 3);
    const again = await open();
    expect(again.report.kind).toBe('sound');
    expect(again.wal.streams).toMatchObject([{ lastIndex: 200, hardState: hardState(3, 'b') }]);
    await closed(again);
    const names = (await readdir(join(root, LOG))).filter((name) => name.endsWith('.wal'));
    const path = join(root, LOG, names[0] ?? '');
    const bytes = await readFile(path);
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const recovering = await open();
    expect(recovering.report).toMatchObject({ kind: 'recovering', problem: { file: path } });
    expect(recovering.wal.streams).toMatchObject([{ firstIndex: 201, lastIndex: 200, hardState: hardState(3, 'b') }]);
    expect(await readdir(recovering.report.movedAside[0] ?? '')).toEqual(expect.arrayContaining(names));
    await recovering.finishRecovery();
    await closed(recovering);
    expect(await readdir(root)).not.toContain('recovering.json');
  });
});
