/** Opens what a member keeps on its simulated disk, the way the server does. */
import { decodeConfiguration } from '../../../src/codec/configuration.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Configuration } from '../../../src/raft/types.ts';
import { openStorage } from '../../../src/storage/open-storage.ts';
import type { Storage } from '../../../src/storage/types.ts';
import { clusterId, DATA_STREAM, type MemberId } from '../../../src/types/ids.ts';
import type { Owner } from '../kernel/queue.ts';
import type { SimOptions } from '../options.ts';
import type { SimDisk } from '../ports/disk.ts';
import type { SimStoreDisk } from '../ports/store.ts';

export const CLUSTER = clusterId('sim');
export const LOG_FOLDER = 'wal';

export function openSimStorage(deps: {
  readonly member: MemberId;
  readonly disk: SimDisk;
  readonly store: SimStoreDisk;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly options: SimOptions;
  /** What was wrong with the tables when they were loaded. */
  readonly storeProblem: Error | null;
  /** With whom the log was begun: nobody for a member that was added. */
  readonly founding: Configuration;
}): Promise<Storage> {
  const { member, store, owner, clock, options, storeProblem, founding } = deps;
  return openStorage({
    root: deps.disk.attach(owner),
    logFolder: LOG_FOLDER,
    clock,
    wal: {
      clusterId: CLUSTER,
      memberId: member,
      segmentBytes: options.walSegmentBytes,
      compressBytesMin: options.walCompressBytesMin,
      decodeConfiguration,
    },
    streams: [DATA_STREAM],
    openStore: () => store.open(owner, member),
    founding,
    moveStoreAside: () => store.moveAside(owner),
    ...(storeProblem === null ? {} : { storeProblem }),
  });
}

/** The disk gave up. */
export function isDeviceError(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at.name === 'DiskError' && 'code' in at && at.code === 'io') return true;
  }
  return false;
}
