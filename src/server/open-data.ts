/** Opens what a data folder holds besides its identity: the log and the tables. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { decodeConfiguration } from '../codec/configuration.ts';
import type { Configuration, PlacedConfiguration } from '../raft/types.ts';
import { openLevelStore } from '../store/level-store.ts';
import type { Store } from '../store/types.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { NodeDisk } from '../wal/node-disk.ts';
import type { Wal } from '../wal/types.ts';
import { openWal } from '../wal/wal.ts';
import type { ServerConfig } from './config.ts';
import type { MemberIdentity } from './identity.ts';
import { firstConfiguration, firstDigest, knownConfiguration } from './members.ts';
import { logWalEvent } from './notices.ts';
import { systemClock } from './system-ports.ts';

export interface OpenedData {
  readonly wal: Wal;
  readonly store: Store;
  /** A part of the log was lost; the member must not vote before it is back. */
  readonly recovering: boolean;
  /** It is back: the marker goes. Resolves when that is durable. */
  readonly recovered: () => Promise<void>;
  /** What a new log is started with. */
  readonly first: Configuration;
  /** In force at the end of the log. */
  readonly known: PlacedConfiguration;
  /** As `firstDigest`. */
  readonly digest: string | null;
  close(): Promise<void>;
}

/** Rejects with an error whose message says what to do; everything opened so far is closed again. */
export async function openData(config: ServerConfig, logger: Logger, identity: MemberIdentity): Promise<OpenedData> {
  const { clusterId, memberId, dataDir } = config;
  const wal = await openWal(new NodeDisk(join(dataDir, 'wal')), systemClock, {
    clusterId,
    memberId,
    ...config.wal,
    decodeConfiguration,
    observe: (event) => logWalEvent(logger, event),
  });
  try {
    identity.checkLog(wal.streams.length > 0);
    const store = await openLevelStore(join(dataDir, 'store'), { clusterId, memberId });
    const recovered = wal.streams.find(({ stream }) => stream === DATA_STREAM);
    const first = firstConfiguration(
      config.members.map(({ id }) => id),
      config.join,
    );
    const known = knownConfiguration(recovered, first, dataDir, identity.unknownToPeers);
    return {
      wal,
      store,
      recovering: false,
      recovered: async () => undefined,
      first,
      known,
      digest: firstDigest(recovered, first),
      close: async () => {
        await store.close();
        await wal.close();
      },
    };
  } catch (error) {
    await wal.close();
    throw error;
  }
}
