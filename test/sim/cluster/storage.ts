/** Opens what a member keeps on its simulated disk, the way the server does. */
import { decodeConfiguration } from '../../../src/codec/configuration.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Disk } from '../../../src/ports/disk.ts';
import type { SnapshotMark } from '../../../src/raft/types.ts';
import type { Store } from '../../../src/store/types.ts';
import { openHardStateCopy } from '../../../src/wal/hard-state-copy.ts';
import type { Wal, WalOptions } from '../../../src/wal/types.ts';
import { openWal } from '../../../src/wal/wal.ts';
import type { Owner } from '../kernel/queue.ts';
import type { SimStoreDisk } from '../ports/store.ts';

export interface OpenedStorage {
  readonly wal: Wal;
  readonly store: Store;
  readonly recovering: boolean;
  readonly onRecovered: () => Promise<void>;
}

export async function openStorage(deps: {
  readonly disk: Disk;
  readonly store: SimStoreDisk;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly wal: WalOptions;
  readonly onReset: (mark: SnapshotMark, keepEntries: boolean) => void;
}): Promise<OpenedStorage> {
  const hardStateCopy = await openHardStateCopy(deps.disk, deps.wal);
  const wal = await openWal(deps.disk, deps.clock, { ...deps.wal, decodeConfiguration, hardStateCopy });
  const store = await deps.store.open(deps.owner, deps.wal.memberId);
  return { wal, store, recovering: false, onRecovered: () => Promise.resolve() };
}
