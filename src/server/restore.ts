/**
 * A backup as the data folder of a member of a new cluster (U5): `quorate restore`. Each first member of that cluster restores
 * the same file with the same list of members, and they begin from the same state, as if they had always had it.
 *
 * RS1 The folder appears under its name when everything in it is durable and the backup was read to its end and found sound:
 *     after a crash it is there as a whole, or not at all. A folder that is there, and empty (a mount point, most of all), is filled
 *     from one inside it, the log first and the identity last: a member refuses to start on what a crash leaves of that.
 * RS2 Indexes go on `bumpRevision` above those of the backup: tokens and revisions that the old cluster gave out after the
 *     backup was taken are not given out again.
 * RS3 Members that restored something else, or nothing, are told by the digest of the first members, and refused.
 */
import { mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { decodeConfiguration } from '../codec/configuration.ts';
import { RowRestorer } from '../machine/restore.ts';
import type { StoredRow } from '../machine/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import { BackupReader, type BackupSummary } from '../snapshot/backup.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Staging } from '../store/types.ts';
import { type ClusterId, DATA_STREAM, type LogIndex, logIndex, type MemberId } from '../types/ids.ts';
import { MEMBERS_MAX } from '../types/limits.ts';
import { openHardStateCopy } from '../wal/hard-state-copy.ts';
import { makeDurableFolder, NodeDisk } from '../wal/node-disk.ts';
import type { WalOptions } from '../wal/types.ts';
import { openWal } from '../wal/wal.ts';
import { MemberIdentity } from './identity.ts';
import { restoredDigest } from './members.ts';
import { systemClock } from './system-ports.ts';

/** By how much indexes rise unless told otherwise: years of entries at full speed. */
export const BUMP_REVISION_DEFAULT = 1_000_000_000;

/** Far above what any cluster can number, and with as much room left. */
const REVISION_MAX = 2 ** 52;
/** What a file system has at its root. */
const LOST_AND_FOUND = 'lost+found';
/** Order of names; what is not named comes between the log and the identity. */
const FIRST = 'wal';
const LAST = 'identity.json';

export interface RestoreOptions {
  /** Of the backup, in order; opened once. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Absolute; does not exist, or is empty. */
  readonly dataDir: string;
  /** Of the new cluster: another one than that of the backup. */
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** First members of the new cluster, `memberId` among them; the same on each. */
  readonly voters: readonly MemberId[];
  readonly bumpRevision: number;
  readonly wal: Pick<WalOptions, 'segmentBytes' | 'compressBytesMin'>;
  /** Bytes of the backup read so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface RestoredFolder {
  readonly backup: BackupSummary;
  /** Entry that the restored state stands after. */
  readonly index: LogIndex;
  /** Of the restored state; equal on all members that restored the same backup in the same way. */
  readonly stateHash: string;
}

/**
 * Rejects with an error whose message says what to do, `BackupError` for a backup that is not whole; what was written until then
 * is removed, and the folder is as it was.
 */
export async function restoreDataFolder(options: RestoreOptions): Promise<RestoredFolder> {
  checkOptions(options);
  const { dataDir } = options;
  const there = await isThereAndEmpty(dataDir);
  const parent = there ? dataDir : dirname(dataDir);
  if (!there) await makeDurableFolder(parent);
  const temporary = await mkdtemp(join(parent, `.${basename(dataDir)}.restoring-`));
  try {
    const restored = await build(options, temporary);
    if (there) await fill(dataDir, temporary);
    else await appear(temporary, dataDir);
    return restored;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

function checkOptions({ voters, memberId, bumpRevision }: RestoreOptions): void {
  if (voters.length < 1 || voters.length > MEMBERS_MAX || new Set(voters).size !== voters.length) {
    throw new Error(`the new cluster has 1 to ${MEMBERS_MAX} members, each named once; not ${voters.join(', ')}`);
  }
  if (!voters.includes(memberId)) {
    throw new Error(
      `member ${memberId} is not among the members of the new cluster (${voters.join(', ')}): correct one`,
    );
  }
  if (!Number.isSafeInteger(bumpRevision) || bumpRevision < 0) {
    throw new Error(`the revision can be bumped by a whole number from 0 on, not by ${bumpRevision}`);
  }
}

/** False when it is not there; rejects when something is in it. */
async function isThereAndEmpty(dataDir: string): Promise<boolean> {
  let found: readonly string[];
  try {
    found = await readdir(dataDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  const something = found.find((name) => name !== LOST_AND_FOUND);
  if (something === undefined) return true;
  throw new Error(
    `${dataDir} holds something already (${something}): a backup is restored into an empty folder, or one that is not there`,
  );
}

async function build(options: RestoreOptions, folder: string): Promise<RestoredFolder> {
  const { clusterId, memberId, voters, bumpRevision, bytes } = options;
  const reader = await BackupReader.open(bytes);
  const { header } = reader;
  if (header.clusterId === clusterId) {
    throw new Error(
      `the backup is of cluster ${clusterId} itself: give the new cluster another id, so that members and clients of the two ` +
        'cannot take one for the other',
    );
  }
  if (header.mark.index + bumpRevision > REVISION_MAX) {
    const most = REVISION_MAX - header.mark.index;
    throw new Error(`the revision of this backup can be bumped by ${most} at most, not by ${bumpRevision}`);
  }
  const index = logIndex(header.mark.index + bumpRevision);
  const configuration = { voters: [...voters].sort(), votersOutgoing: [], learners: [] };
  const mark: SnapshotMark = {
    index,
    term: header.mark.term,
    // As if the operator had given it when the log was started: nothing in the log brought it.
    configuration: { index: logIndex(0), configuration },
  };
  const identity = await MemberIdentity.open(new NodeDisk(folder), { clusterId, memberId });
  const stateHash = await writeStore(options, folder, reader, mark);
  await writeLog(options, folder, mark);
  await identity.keepMembersDigest(restoredDigest(voters, index, stateHash));
  await identity.markBootstrapped();
  await identity.close();
  for (const made of ['store', 'wal', '']) await syncFolder(join(folder, made));
  return { backup: reader.summary, index, stateHash };
}

/** Resolves with the state hash, once everything is durable. */
async function writeStore(
  { clusterId, memberId, onProgress }: RestoreOptions,
  folder: string,
  reader: BackupReader,
  mark: SnapshotMark,
): Promise<string> {
  const store = await openLevelStore(join(folder, 'store'), { clusterId, memberId });
  try {
    const staging = await store.stage(DATA_STREAM);
    const total = await stageRows(reader, staging, mark.index, onProgress);
    await staging.install(mark);
    // The log is made to begin after the mark below; nothing is left to be done about it.
    await store.installed(DATA_STREAM);
    await store.sync();
    return total.value;
  } finally {
    await store.close();
  }
}

async function stageRows(
  reader: BackupReader,
  staging: Staging,
  index: LogIndex,
  onProgress: RestoreOptions['onProgress'],
): Promise<StoredRow> {
  const restorer = new RowRestorer(index);
  for await (const rows of reader.rows()) {
    await staging.add(restorer.add(rows));
    onProgress?.(reader.offset);
  }
  const total = restorer.finish();
  await staging.add([total]);
  return total;
}

async function writeLog(options: RestoreOptions, folder: string, mark: SnapshotMark): Promise<void> {
  const { clusterId, memberId } = options;
  const copy = await openHardStateCopy(new NodeDisk(folder), { clusterId, memberId });
  try {
    const disk = new NodeDisk(join(folder, 'wal'));
    const log = { clusterId, memberId, ...options.wal, decodeConfiguration, hardStateCopy: copy };
    const wal = await openWal(disk, systemClock, log);
    try {
      await wal.start(DATA_STREAM, { term: mark.term, votedFor: null }, mark);
    } finally {
      await wal.close();
    }
  } finally {
    await copy.close();
  }
}

function filledMeanwhile(dataDir: string): Error {
  return new Error(`${dataDir} was filled by something else meanwhile; it is as that left it`);
}

async function appear(temporary: string, dataDir: string): Promise<void> {
  try {
    await rename(temporary, dataDir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') {
      throw filledMeanwhile(dataDir);
    }
    throw error;
  }
  await syncFolder(dirname(dataDir));
}

/** `temporary` is in `dataDir`. Until the identity is there, a member takes the folder for one that a part was taken of. */
async function fill(dataDir: string, temporary: string): Promise<void> {
  const own = basename(temporary);
  if ((await readdir(dataDir)).some((name) => name !== own && name !== LOST_AND_FOUND)) throw filledMeanwhile(dataDir);
  const between = (await readdir(temporary)).filter((name) => name !== FIRST && name !== LAST);
  for (const name of [FIRST, ...between, LAST]) {
    await rename(join(temporary, name), join(dataDir, name));
    await syncFolder(dataDir);
  }
  await rm(temporary, { recursive: true });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
