/** Opens what a data folder holds besides its identity: the log and the tables. */
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { decodeConfiguration } from '../codec/configuration.ts';
import type { AsyncMark } from '../node/early-acks.ts';
import type { Configuration, PlacedConfiguration } from '../raft/types.ts';
import { openStorage } from '../storage/open-storage.ts';
import type { StorageOptions, StorageReport } from '../storage/types.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Store } from '../store/types.ts';
import { DATA_STREAM, logIndex } from '../types/ids.ts';
import { NodeDisk } from '../wal/node-disk.ts';
import type { Wal, WalEvent } from '../wal/types.ts';
import type { ServerConfig } from './config.ts';
import type { MemberIdentity } from './identity.ts';
import type { IoMeter } from './io-meter.ts';
import { firstConfiguration, firstDigest, knownConfiguration, membersDigest } from './members.ts';
import { logWalEvent } from './notices.ts';
import { systemClock } from './system-ports.ts';

const STORE_FOLDER = 'store';

export interface OpenedData {
  readonly wal: Wal;
  readonly store: Store;
  /** A part of the log was lost; the member must not vote before it is back. */
  readonly recovering: boolean;
  /** It is back: the marker goes. Resolves when that is durable. */
  readonly recovered: () => Promise<void>;
  /** See `MemberDeps.asyncMark`. */
  readonly asyncMark: AsyncMark;
  /** What a new log is started with. */
  readonly first: Configuration;
  /** In force at the end of the log. */
  readonly known: PlacedConfiguration;
  /** As `firstDigest`. */
  readonly digest: string | null;
  close(): Promise<void>;
}

/**
 * Rejects with an error whose message says what to do; everything opened so far is closed again. `storeProblem`: what was wrong
 * with the tables when they were loaded.
 */
export async function openData(
  config: ServerConfig,
  logger: Logger,
  identity: MemberIdentity,
  storeProblem: Error | null,
  meter: IoMeter,
): Promise<OpenedData> {
  const { dataDir } = config;
  const observe = (event: WalEvent): void => {
    meter.observe(event);
    logWalEvent(logger, event);
  };
  const storage = await openStorage(storageOptions(config, identity, storeProblem, observe));
  const { wal, store, recovering } = storage;
  const close = async (): Promise<void> => {
    await store.close();
    await wal.close();
  };
  try {
    identity.checkLog(wal.streams.length > 0);
    logReport(logger, storage.report);
    const recovered = wal.streams.find(({ stream }) => stream === DATA_STREAM);
    meter.begin(recovered?.lastIndex ?? logIndex(0));
    const listed = config.members.map(({ id }) => id);
    const first = firstConfiguration(listed, config.join);
    const known = knownConfiguration(recovered, first, dataDir, identity.unknownToPeers);
    // The log of a recovering member begins somewhere: it does not know how the cluster began.
    const digest = recovering ? null : firstDigest(recovered, first);
    const { asyncMark } = storage;
    return {
      wal,
      store,
      recovering,
      recovered: () => storage.finishRecovery(),
      asyncMark,
      first,
      known,
      digest,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** See `StorageOptions.founding`: the settings give the names, and the digest from the first start says whether they are right. */
function foundingOf(config: ServerConfig, identity: MemberIdentity): Configuration | null {
  const listed = config.members.map(({ id }) => id);
  const founders = firstConfiguration(listed, false);
  if (identity.membersDigest === '') return firstConfiguration(listed, true);
  return identity.membersDigest === membersDigest(founders.voters) ? founders : null;
}

function storageOptions(
  config: ServerConfig,
  identity: MemberIdentity,
  storeProblem: Error | null,
  observe: (event: WalEvent) => void,
): StorageOptions {
  const { clusterId, memberId, dataDir } = config;
  return {
    root: new NodeDisk(dataDir),
    logFolder: 'wal',
    clock: systemClock,
    wal: { clusterId, memberId, ...config.wal, decodeConfiguration, observe },
    streams: [DATA_STREAM],
    openStore: () => openLevelStore(join(dataDir, STORE_FOLDER), { clusterId, memberId }),
    founding: foundingOf(config, identity),
    moveStoreAside: (name) => moveFolder(dataDir, STORE_FOLDER, name),
    ...(storeProblem === null ? {} : { storeProblem }),
  };
}

/** In one step: after a crash it was moved or it was not. Nothing to move is fine: it was moved before the crash. */
async function moveFolder(parent: string, from: string, to: string): Promise<void> {
  try {
    await rename(join(parent, from), join(parent, to));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const folder = await open(parent, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Damage is never passed over in silence, also when it mends itself (W4). */
function logReport(logger: Logger, { kind, problem, movedAside }: StorageReport): void {
  if (kind === 'sound') return;
  const kept = 'what is damaged was moved aside and is kept';
  if (kind === 'rebuilt') {
    logger.warn({ problem, movedAside }, `the tables on disk were damaged and are rebuilt from the log; ${kept}`);
  } else {
    const until = 'until the cluster has brought this member up to date it does not vote';
    const aside = movedAside.length === 0 ? '' : `${kept}; `;
    logger.error({ problem, movedAside }, `a part of the log or of the tables was damaged or lost; ${aside}${until}`);
  }
}
