/** The table of data folders that a member does not start on: what was done to the folder, and what the member says. */
import { open, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { expect } from 'vitest';
import { must } from '../../src/types/assert.ts';
import type { ConfigInit } from './member-process.ts';

export interface DataRow {
  readonly name: string;
  readonly damage: (dataDir: string) => Promise<unknown>;
  /** Settings that differ from those the folder was made with. */
  readonly config?: Partial<ConfigInit>;
  /** Below the data folder: this is given as `dataDir`. */
  readonly path?: string;
  readonly says: (dataDir: string) => RegExp;
  /** What the message advises; then all is there again. Not given where a backup or another member is needed. */
  readonly recovers?: (dataDir: string) => Promise<unknown>;
  /** Files that may appear although the member did not start. */
  readonly leaves?: RegExp;
}

const SEGMENT = 'wal/000000000001.wal';
/** LevelDB writes files of its own whenever it opens its folder. */
const STORE = /^store\//;
const nothing = async (): Promise<void> => undefined;

async function flip(file: string, offset: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8(0) ^ 0x10);
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}

/** How much of the preallocated segment was written. */
async function writtenBytes(file: string): Promise<number> {
  const bytes = await readFile(file);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/** A file in place of a folder. */
function fileAt(path: string) {
  return async (dataDir: string): Promise<void> => {
    await rm(join(dataDir, path), { recursive: true, force: true });
    await writeFile(join(dataDir, path), 'not a folder');
  };
}

async function damagedStoreFile(dataDir: string, name: string): Promise<void> {
  await writeFile(join(dataDir, 'store', name), 'this is not what LevelDB wrote\n');
}

/** A cluster of one: whatever the log lacks, nobody else has it. */
const ALONE =
  'the only one of its cluster.*nothing is served, and nothing was moved\\. Put the data folder back.*quorate restore';
const DAMAGED_LOG = `The log is not used as it is.*Keep this folder.*${ALONE}`;

export const DATA_ROWS: readonly DataRow[] = [
  {
    name: 'of another cluster',
    damage: nothing,
    config: { clusterId: 'other' },
    says: (dir) =>
      new RegExp(
        `${dir}/identity.json belongs to member a of cluster bad-start, but this is member a of cluster other\\. Set the data folder`,
      ),
    recovers: nothing,
  },
  {
    name: 'of another member',
    damage: nothing,
    config: { memberId: 'b' },
    says: (dir) =>
      new RegExp(
        `${dir}/identity.json belongs to member a of cluster bad-start, but this is member b of cluster bad-start\\. Set the data folder`,
      ),
  },
  {
    name: 'with the log of another cluster in it',
    damage: async (dir) => {
      const path = join(dir, 'identity.json');
      await writeFile(path, (await readFile(path, 'utf8')).replace('bad-start', 'other'));
    },
    config: { clusterId: 'other' },
    says: (dir) =>
      new RegExp(
        `${dir}/hard-state belongs to member a of cluster bad-start, but this is member a of cluster other\\. Set`,
      ),
  },
  {
    name: 'with the log of another cluster in it, and no copy of its votes',
    damage: async (dir) => {
      const path = join(dir, 'identity.json');
      await writeFile(path, (await readFile(path, 'utf8')).replace('bad-start', 'other'));
      await rm(join(dir, 'hard-state'));
    },
    config: { clusterId: 'other' },
    says: (dir) =>
      new RegExp(
        `${dir}/${SEGMENT} belongs to member a of cluster bad-start, but this is member a of cluster other\\. Set`,
      ),
    leaves: /^hard-state$/,
  },
  {
    name: 'whose identity is gone',
    damage: (dir) => rename(join(dir, 'identity.json'), join(dir, 'moved.json')),
    says: (dir) =>
      new RegExp(`${dir}/identity.json is missing, but ${dir}/wal beside it was used before: .*Put the file back`),
    recovers: (dir) => rename(join(dir, 'moved.json'), join(dir, 'identity.json')),
  },
  {
    name: 'whose identity is damaged',
    damage: (dir) => writeFile(join(dir, 'identity.json'), '{"version": 1, "clusterId"'),
    says: (dir) => new RegExp(`${dir}/identity.json is damaged: .*Put an intact copy of this file back`),
  },
  {
    name: 'whose identity is of a later version',
    damage: (dir) => writeFile(join(dir, 'identity.json'), '{"version": 4}'),
    says: (dir) => new RegExp(`${dir}/identity.json has version 4, .*Start the version that wrote it`),
  },
  {
    name: 'that is a file',
    damage: fileAt('file'),
    path: 'file',
    says: (dir) =>
      new RegExp(`${dir}/file is a file where a folder is needed: move it away, or choose another data folder`),
  },
  {
    name: 'below a file',
    damage: fileAt('file'),
    path: 'file/data',
    says: (dir) => new RegExp(`${dir}/file is a file where a folder is needed: move it away`),
  },
  {
    name: 'whose log is a file',
    damage: async (dir) => {
      await rename(join(dir, 'wal'), join(dir, 'kept'));
      await fileAt('wal')(dir);
    },
    says: (dir) => new RegExp(`${dir}/wal is a file where a folder is needed: move it away`),
  },
  {
    name: 'whose log is damaged in the middle',
    damage: async (dir) => flip(join(dir, SEGMENT), Math.floor((await writtenBytes(join(dir, SEGMENT))) / 2)),
    says: (dir) =>
      new RegExp(`${dir}/${SEGMENT} is damaged at offset \\d+: the record there is not intact.*${DAMAGED_LOG}`),
    leaves: STORE,
  },
  {
    name: 'whose log has a hole of 512 zeroes in the middle',
    damage: async (dir) => {
      const handle = await open(join(dir, SEGMENT), 'r+');
      await handle.write(Buffer.alloc(512), 0, 512, Math.floor((await writtenBytes(join(dir, SEGMENT))) / 2));
      await handle.close();
    },
    says: (dir) => new RegExp(`${dir}/${SEGMENT} is damaged at offset \\d+: .*${DAMAGED_LOG}`),
    leaves: STORE,
  },
  {
    name: 'whose segment has a damaged header',
    damage: (dir) => flip(join(dir, SEGMENT), 9),
    says: (dir) => new RegExp(`${dir}/${SEGMENT} is damaged at offset 0: .*${DAMAGED_LOG}`),
    leaves: STORE,
  },
  {
    name: 'whose first segment has another name',
    damage: (dir) => rename(join(dir, SEGMENT), join(dir, 'wal/000000000002.wal')),
    says: (dir) =>
      new RegExp(`${dir}/wal/000000000002.wal is damaged at offset 0: it is segment 1 under another name.*${ALONE}`),
    recovers: (dir) => rename(join(dir, 'wal/000000000002.wal'), join(dir, SEGMENT)),
    leaves: STORE,
  },
  {
    name: 'whose segment is empty',
    damage: (dir) => truncate(join(dir, SEGMENT), 0),
    says: (dir) => new RegExp(`${dir}/${SEGMENT} is damaged at offset 0: .*${DAMAGED_LOG}`),
    leaves: STORE,
  },
  {
    name: 'whose log was cut short',
    damage: async (dir) => truncate(join(dir, SEGMENT), Math.floor((await writtenBytes(join(dir, SEGMENT))) / 2)),
    says: (dir) =>
      new RegExp(
        `The log in ${dir}/wal does not fit the store: it ends at entry \\d+, but the store stands after entry \\d+\\. .*${ALONE}`,
      ),
    // By itself the log ends in a torn write, and that is cut; the tables alone tell that there was more.
    leaves: /^(wal|store)\//,
  },
  {
    name: 'whose log is gone',
    damage: (dir) => rename(join(dir, 'wal'), join(dir, 'moved')),
    says: (dir) => new RegExp(`${dir}/wal holds no log, but member a of cluster bad-start has used one: .*Put it back`),
    recovers: (dir) => rename(join(dir, 'moved'), join(dir, 'wal')),
  },
  {
    name: 'whose tables were written by another version',
    damage: async (dir) => {
      const database = new Level(join(dir, 'store'));
      await database.put('format', 'quorate-store-9');
      await database.close();
    },
    says: (dir) =>
      new RegExp(
        `The store in ${dir}/store has format "quorate-store-9", this version reads up to quorate-store-2\\. Start the version`,
      ),
    leaves: STORE,
  },
  {
    name: 'whose tables are a file',
    damage: fileAt('store'),
    says: (dir) => new RegExp(`${dir}/store is a file where a folder is needed: move it away`),
  },
  {
    name: 'whose lock is a file',
    damage: fileAt('lock'),
    says: (dir) => new RegExp(`${dir}/lock is a file where a folder is needed: move it away`),
  },
];

/** Tables that are damaged while the log is whole: the member starts, and brings them back from the log. */
export interface RebuiltRow {
  readonly name: string;
  readonly damage: (dataDir: string) => Promise<unknown>;
  /** In the member's log. */
  readonly says: RegExp;
}

export const REBUILT_ROWS: readonly RebuiltRow[] = [
  {
    name: 'whose tables are damaged (CURRENT)',
    damage: (dir) => damagedStoreFile(dir, 'CURRENT'),
    says: /The store in \S+\/store is damaged: /,
  },
  {
    name: 'whose tables are damaged (MANIFEST)',
    damage: async (dir) => {
      const current = (await readFile(join(dir, 'store/CURRENT'), 'utf8')).trim();
      await damagedStoreFile(dir, current);
    },
    says: /The store in \S+\/store is damaged: /,
  },
  {
    name: 'whose tables have lost a write',
    damage: async (dir) => {
      const log = must(
        (await readdir(join(dir, 'store'))).find((name) => name.endsWith('.log')),
        'LevelDB has a log',
      );
      // LevelDB drops what its first block holds from there on, and keeps the blocks behind it.
      expect((await stat(join(dir, 'store', log))).size).toBeGreaterThan(3 * 32_768);
      await flip(join(dir, 'store', log), 100);
    },
    says: /the stored rows do not add up/,
  },
  {
    name: 'whose tables are gone',
    damage: (dir) => rm(join(dir, 'store'), { recursive: true }),
    says: /member started/,
  },
];
