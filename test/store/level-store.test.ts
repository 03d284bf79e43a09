import { chmod, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStore, StoreError } from '../../src/store/level-store.ts';
import type { Store } from '../../src/store/types.ts';
import { clusterId, logIndex, memberId, streamId } from '../../src/types/ids.ts';

const ONE = streamId(1);
const OWNER = { clusterId: clusterId('test'), memberId: memberId('a') };

let folder = '';
let path = '';
const open: Store[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-store-'));
  path = join(folder, 'store');
});

afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true, force: true });
});

async function opened(): Promise<Store> {
  const store = await openLevelStore(path, OWNER);
  open.push(store);
  return store;
}

async function failure(attempt: Promise<unknown>): Promise<StoreError> {
  const error = await attempt.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

/** Root may do everything, and containers like to run tests as root: gives that up for the time of `action`. */
async function asOrdinaryUser<T>(action: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return action();
  process.seteuid?.(65_534);
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
  }
}

/** Writes to the database behind the store's back. */
async function behind(change: (database: Level<string, string>) => Promise<void>): Promise<void> {
  const database = new Level<string, string>(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
  await database.open();
  await change(database);
  await database.close();
}

describe('a LevelDB store that cannot be used says which and what to do', () => {
  it('in use by another', async () => {
    await opened();
    const error = await failure(openLevelStore(path, OWNER));
    expect(error.code).toBe('locked');
    expect(error.message).toContain(path);
    expect(error.message).toContain('Stop that process');
  });

  it('no permission', async () => {
    await chmod(folder, 0o500);
    const error = await failure(asOrdinaryUser(() => openLevelStore(path, OWNER)));
    expect(error.code).toBe('permission');
    expect(error.message).toContain(path);
    expect(error.message).toContain('read and write');
  });

  it('a file where the folder should be', async () => {
    await writeFile(path, 'not a folder');
    const error = await failure(openLevelStore(path, OWNER));
    expect(error.code).toBe('io');
    expect(error.message).toContain(path);
  });

  it('written by another version', async () => {
    await (await opened()).close();
    await behind((database) => database.put('format', 'quorate-store-99'));
    const error = await failure(openLevelStore(path, OWNER));
    expect(error.code).toBe('format');
    expect(error.message).toContain('quorate-store-99');
    // The refused one has let go of the folder.
    await behind((database) => database.put('format', 'quorate-store-1'));
    await opened();
  });

  it.each([
    { ...OWNER, memberId: memberId('b') },
    { ...OWNER, clusterId: clusterId('other') },
  ])('of another: $memberId of $clusterId', async (other) => {
    await (await opened()).close();
    const error = await failure(openLevelStore(path, other));
    expect(error.code).toBe('foreign');
    expect(error.message).toContain(`belongs to "member a of cluster test", but this is member ${other.memberId}`);
    expect(error.message).toContain('Put the store back');
    expect((await (await opened()).load(ONE)).appliedIndex).toBe(0);
  });

  it.each([
    ['0000000000000001 index', 'twelve', 'applied index'],
    ['0000000000000001 index', '-1', 'applied index'],
    ['0000000000000001 something', '[]', 'nobody wrote'],
    ['0000000000000001 row table', '[]', 'nobody wrote'],
  ])('content that is not a store: %s = %s', async (key, value, message) => {
    await (await opened()).close();
    await behind((database) => database.put(key, value));
    const error = await failure((await opened()).load(ONE));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(message);
    expect(error.message).toContain('Move the folder away');
  });

  it('a damaged manifest', async () => {
    const store = await openLevelStore(path, OWNER);
    await store.write(ONE, logIndex(1), [{ table: 'a', key: 'k', value: '1' }]);
    await store.close();
    const manifest = (await readdir(path)).find((name) => name.startsWith('MANIFEST'));
    await truncate(join(path, manifest ?? ''), 10);
    const error = await failure(openLevelStore(path, OWNER));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(path);
  });
});

describe('a failed write', () => {
  it('W5: is final: no later write of any stream is carried out, so that there is no hole', async () => {
    await (await opened()).close();
    await behind((database) => database.put('0000000000000003 index', 'twelve'));
    const store = await opened();
    await store.write(ONE, logIndex(1), []);
    expect((await failure(store.write(streamId(3), logIndex(1), []))).code).toBe('corrupt');
    expect((await failure(store.write(ONE, logIndex(2), []))).code).toBe('corrupt');
    expect(await store.load(ONE)).toEqual({ appliedIndex: 1, rows: [] });
  });
});
