import { chmod, cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import crc32 from 'crc-32';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStore } from '../../src/store/level-store.ts';
import { StoreError } from '../../src/store/store-error.ts';
import type { Store } from '../../src/store/types.ts';
import { clusterId, memberId } from '../../src/types/ids.ts';
import { Bench } from '../machine/kit.ts';
import { allRows, machineOf, mark, ONE, put, row, stored } from './support.ts';

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
    expect(await (await opened()).image(ONE)).toBeNull();
  });

  const sealed = (text: string): string => `${text} ${(crc32.str(text) >>> 0).toString(16).padStart(8, '0')}`;
  const fields = JSON.stringify({
    index: 1,
    term: 1,
    configuration: { index: 0, voters: ['a'], votersOutgoing: [], learners: [] },
    generation: 0,
    installing: false,
  });
  const good = sealed(fields);
  it.each([
    ['0000000000000001 index', 'twelve', 'applied index'],
    ['0000000000000001 index', '-1', 'applied index'],
    ['0000000000000001 index', sealed('{}'), 'applied index'],
    ['0000000000000001 index', sealed('[]'), 'applied index'],
    ['0000000000000001 index', sealed('{'), 'applied index'],
    ['0000000000000001 index', fields, 'applied index'],
    ['0000000000000001 index', good.replace('"index":1', '"index":2'), 'applied index'],
    ['0000000000000001 index', sealed(fields.replace('"a"', '"A"')), 'applied index'],
    ['0000000000000001 index', sealed(fields.replace('"term":1', '"term":0.5')), 'applied index'],
    ['0000000000000001 index', sealed(fields.replace('"generation":0', '"generation":-1')), 'applied index'],
    ['0000000000000001 index', sealed(fields.replace('false', '0')), 'applied index'],
    ['0000000000000001 something', '[]', 'nobody wrote'],
    ['0000000000000001 row table', '[]', 'nobody wrote'],
    ['0000000000000001 row01 table key', '[]', 'nobody wrote'],
    ['1', '[]', 'nobody wrote'],
  ])('content that is not a store: %s = %s', async (key, value, message) => {
    await (await opened()).close();
    await behind(async (database) => {
      await database.put('0000000000000001 index', good);
      await database.put(key, value);
    });
    const error = await failure(opened().then((store) => stored(store)));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(message);
    expect(error.message).toContain('Move the folder away');
  });

  it('rows without an index', async () => {
    await (await opened()).close();
    await behind((database) => database.put('0000000000000001 row a k', '[]'));
    expect((await failure(openLevelStore(path, OWNER))).message).toContain('no applied index');
  });

  it('a damaged manifest', async () => {
    const store = await openLevelStore(path, OWNER);
    await store.write(ONE, mark(1), [put('a', 'k', '1')]);
    await store.close();
    const manifest = (await readdir(path)).find((name) => name.startsWith('MANIFEST'));
    await truncate(join(path, manifest ?? ''), 10);
    const error = await failure(openLevelStore(path, OWNER));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(path);
  });
});

describe('W4: a damaged table', () => {
  it('is refused before LevelDB reads it, with file and offset; one that was never finished is nothing', async () => {
    const rows = Array.from({ length: 200 }, (_, i) => put('a', `k${i}`, 'x'.repeat(i)));
    await (await opened()).write(ONE, mark(1), rows);
    await open.pop()?.close();
    // What the log holds becomes a table when the store is opened again.
    await (await opened()).close();
    const name = (await readdir(path)).find((file) => file.endsWith('.ldb')) ?? '';
    const table = await readFile(join(path, name));
    for (const at of [0, 1_000, table.length - 100, table.length - 48]) {
      const flipped = Buffer.from(table);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x10, at);
      await writeFile(join(path, name), flipped);
      const error = await failure(openLevelStore(path, OWNER));
      expect(error.code).toBe('corrupt');
      expect(error.message).toMatch(new RegExp(`file ${name}, offset \\d+: `));
    }
    await writeFile(join(path, name), table);
    await writeFile(join(path, '000099.ldb'), table.subarray(0, 1_000));
    expect((await stored(await opened())).rows).toHaveLength(200);
  });
});

describe('W5: what fails', () => {
  it('is final when it is not known what became durable: no later write of any stream is carried out', async () => {
    const store = await opened();
    await store.write(ONE, mark(1), []);
    await rename(path, `${path}.moved`);
    expect(await failure(store.sync())).toMatchObject({ code: 'io', message: expect.stringContaining('durable') });
    await rename(`${path}.moved`, path);
    expect((await failure(store.sync())).code).toBe('io');
    expect((await failure(store.write(ONE, mark(2), []))).code).toBe('io');
    expect(await stored(store)).toEqual({ index: 1, rows: [] });
  });
});

describe('R9: a store of format 1', () => {
  const golden = join(import.meta.dirname, '../compat/store-v1');
  const owner = { clusterId: clusterId('golden'), memberId: memberId('a') };

  it('is read, and becomes one of format 2 with the first write', async () => {
    const expected = JSON.parse(await readFile(join(golden, 'expected.json'), 'utf8')) as {
      appliedIndex: number;
      rows: number;
      stateHash: string;
      timeMs: number;
    };
    await cp(join(golden, 'store'), path, { recursive: true });
    const store = await openLevelStore(path, owner);
    open.push(store);
    const { mark: found, installing } = await store.state(ONE);
    expect(installing).toBe(false);
    expect(found).toMatchObject({ index: expected.appliedIndex, term: 0, configuration: { index: 0 } });
    const content = await stored(store);
    expect(content.rows).toHaveLength(expected.rows);
    const machine = machineOf(content);
    expect(machine.stateHash()).toBe(expected.stateHash);
    expect(machine.timeMs).toBe(expected.timeMs);
    await store.close();
    expect(await read('format')).toBe('quorate-store-1');
    const upgraded = await openLevelStore(path, owner);
    open.push(upgraded);
    await upgraded.write(ONE, mark(expected.appliedIndex), []);
    await upgraded.close();
    expect(await read('format')).toBe('quorate-store-2');
    const reopened = await openLevelStore(path, owner);
    open.push(reopened);
    expect((await reopened.state(ONE)).mark).toEqual(mark(expected.appliedIndex));
    expect(machineOf(await stored(reopened)).stateHash()).toBe(expected.stateHash);
  });

  async function read(key: string): Promise<string | undefined> {
    let value: string | undefined;
    await behind(async (database) => {
      value = await database.get(key);
    });
    return value;
  }
});

describe('CO: files of the store that were damaged', () => {
  it('give the state as it was, an older one, or a refusal: never another state', async () => {
    const bench = new Bench();
    bench.createLoop();
    const states = new Map<number, string>([[0, '']]);
    for (let i = 0; i < 3; i++) {
      const store = await openLevelStore(path, OWNER);
      for (let k = 0; k < 2; k++) {
        bench.begin('ANALYZE', { supersede: i * 2 + k });
        bench.entry(null);
        const { appliedIndex } = bench.machine;
        await store.write(ONE, mark(appliedIndex), bench.machine.takeChanges());
        states.set(appliedIndex, bench.machine.stateHash());
      }
      await store.close();
    }
    const sound = join(folder, 'sound');
    await rename(path, sound);
    const counts = { same: 0, older: 0, refused: 0 };
    for (const name of (await readdir(sound)).filter((file) => /^(?:\d|MANIFEST|CURRENT)/.test(file))) {
      const bytes = await readFile(join(sound, name));
      // Steps of a prime: all bits of a byte come up.
      for (let bit = 0; bit < bytes.length * 8; bit += 211) {
        await cp(sound, path, { recursive: true });
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        await writeFile(join(path, name), flipped);
        const found = await openLevelStore(path, OWNER)
          .then((store) => stored(store).finally(() => store.close()))
          .then((content) => ({
            index: content.index,
            hash: content.index === 0 ? '' : machineOf(content).stateHash(),
          }))
          .catch((error: unknown) => {
            expect((error as Error).name).toMatch(/^(?:StoreError|StateError)$/);
            return null;
          });
        if (found === null) counts.refused += 1;
        else {
          expect(found.hash).toBe(states.get(found.index));
          counts[found.index === bench.machine.appliedIndex ? 'same' : 'older'] += 1;
        }
        await rm(path, { recursive: true });
      }
    }
    console.info(`store: flipped bits: ${JSON.stringify(counts)}`);
    expect(counts.refused).toBeGreaterThan(0);
  }, 120_000);
});

describe('R4: a crash while an image comes in', () => {
  it('leaves the old rows or the new ones, at every step', async () => {
    const store = await opened();
    await store.write(ONE, mark(3), [put('a', 'old', '1')]);
    const staged = await store.stage(ONE);
    const before = { index: 3, rows: [row('a', 'old', '1')] };
    const after = { index: 9, rows: [row('a', 'new', '1'), row('a', 'newer', '1')] };
    const steps: readonly (readonly [() => Promise<void>, typeof before, boolean])[] = [
      [() => staged.add([row('a', 'new', '1')]), before, false],
      [() => staged.add([row('a', 'newer', '1')]), before, false],
      [() => staged.install(mark(9, 2)), after, true],
      [() => store.installed(ONE), after, false],
    ];
    for (const [i, [step, expected, installing]] of steps.entries()) {
      await step();
      // What a process that dies here leaves.
      const copy = join(folder, `copy${i}`);
      await cp(path, copy, { recursive: true });
      const again = await openLevelStore(copy, OWNER);
      open.push(again);
      expect(await stored(again)).toEqual(expected);
      expect((await again.state(ONE)).installing).toBe(installing);
    }
  });
});

describe('leftovers', () => {
  async function keys(): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await behind(async (database) => {
      found = await database.keys({ lt: ':' }).all();
    });
    return found;
  }

  it('of an image that was replaced, or that a crash cut off, are removed in the background', async () => {
    const many = Array.from({ length: 2_500 }, (_, i) => row('a', `k${i}`, '1'));
    const store = await opened();
    await store.write(ONE, mark(1), many);
    const first = await store.stage(ONE);
    await first.add(many);
    const second = await store.stage(ONE);
    await second.add([row('a', 'k', '2')]);
    await second.install(mark(2));
    const third = await store.stage(ONE);
    await third.add(many);
    await store.close();
    // Opened and left alone: each call waits for one step of the removal at most.
    const again = await opened();
    for (let i = 0; i < 20; i++) await again.state(ONE);
    expect(await stored(again)).toEqual({ index: 2, rows: [row('a', 'k', '2')] });
    const fourth = await again.stage(ONE);
    expect(await allRows(fourth)).toEqual([]);
    await again.close();
    expect(await keys()).toEqual(['0000000000000001 index', '0000000000000001 row2 a k']);
  });
});

describe('a large batch', () => {
  it('A4: does not hold the event loop up: turns come in between', async () => {
    const store = await opened();
    const changes = Array.from({ length: 40_000 }, (_, i) => put('a', `key ${i}`, 'x'.repeat(100)));
    let turns = 0;
    let writing = true;
    const count = (): void => {
      turns += 1;
      if (writing) setImmediate(count);
    };
    setImmediate(count);
    await store.write(ONE, mark(1), changes);
    writing = false;
    // 40,000 rows of 100 characters and more, at most 64 Ki characters in one turn.
    expect(turns).toBeGreaterThan(100);
    expect((await stored(store)).rows).toHaveLength(40_000);
  });
});
