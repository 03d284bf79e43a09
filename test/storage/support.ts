/** What the tests of the storage share: a store that is a value, and a data folder in memory. */
import type { StoredRow } from '../../src/machine/types.ts';
import type { Configuration, SnapshotMark } from '../../src/raft/types.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import type { Storage, StorageOptions } from '../../src/storage/types.ts';
import type { Store, StoredState } from '../../src/store/types.ts';
import { logIndex, memberId, type StreamId, term } from '../../src/types/ids.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { CONFIGURATION, contents, entries, hardState, ManualClock, options, STREAM, show } from '../wal/support.ts';

export const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };
export const LOG = 'wal';
/** 60 such entries take three segments. */
const TEXT = 'x'.repeat(270);

/** What a store folder would hold: all of it durable at once. */
export class StoreFolder {
  readonly states = new Map<StreamId, StoredState>();
  damaged = false;
  /** By name: what was moved aside. */
  readonly aside: string[] = [];
  /** What a loss of power leaves, as of the last sync. */
  synced = new Map<StreamId, StoredState>();
  /** Called before each operation, as that of the disk. */
  before: () => Promise<void> | void = () => undefined;

  copy(): StoreFolder {
    const folder = new StoreFolder();
    for (const [stream, state] of this.states) folder.states.set(stream, state);
    folder.damaged = this.damaged;
    return folder;
  }

  async open(): Promise<Store> {
    await this.before();
    if (this.damaged) {
      throw Object.assign(new Error('The store in store is damaged: a block is bad.'), {
        code: 'corrupt',
        path: 'store',
      });
    }
    return new FolderStore(this);
  }

  async moveAside(name: string): Promise<void> {
    await this.before();
    if (this.damaged || this.states.size > 0) this.aside.push(name);
    this.damaged = false;
    this.states.clear();
  }

  losePower(): void {
    this.states.clear();
    for (const [stream, state] of this.synced) this.states.set(stream, state);
  }

  set(index: number, inTerm: number, installing = false): void {
    this.states.set(STREAM, { mark: mark(index, inTerm), installing });
  }
}

/** Only what `openStorage` needs; rows are of no interest here. */
class FolderStore implements Store {
  readonly #folder: StoreFolder;

  constructor(folder: StoreFolder) {
    this.#folder = folder;
  }

  async state(stream: StreamId): Promise<StoredState> {
    return this.#folder.states.get(stream) ?? { mark: null, installing: false };
  }

  async write(stream: StreamId, next: SnapshotMark): Promise<void> {
    this.#folder.states.set(stream, { mark: next, installing: false });
  }

  async sync(): Promise<void> {
    this.#folder.synced = new Map(this.#folder.states);
  }

  async installed(stream: StreamId): Promise<void> {
    await this.#folder.before();
    const { mark: known } = await this.state(stream);
    this.#folder.states.set(stream, { mark: known, installing: false });
  }

  async image(): Promise<null> {
    return null;
  }

  async stage(): Promise<never> {
    throw new Error(`rows are of no interest here: ${[] satisfies StoredRow[]}`);
  }

  async close(): Promise<void> {}
}

export function mark(index: number, inTerm: number): SnapshotMark {
  return {
    index: logIndex(index),
    term: term(inTerm),
    configuration: { index: logIndex(0), configuration: CONFIGURATION },
  };
}

export function decodeConfiguration(payload: Uint8Array): Configuration {
  return { voters: Buffer.from(payload).toString().split(',').map(memberId), votersOutgoing: [], learners: [] };
}

export interface Machine {
  readonly disk: MemoryDisk;
  readonly folder: StoreFolder;
}

export function storageOptions({ disk, folder }: Machine, overrides: Partial<StorageOptions> = {}): StorageOptions {
  return {
    root: disk.process(),
    logFolder: LOG,
    clock: new ManualClock(),
    wal: options({ ...SMALL, decodeConfiguration }),
    streams: [STREAM],
    founding: CONFIGURATION,
    openStore: () => folder.open(),
    moveStoreAside: (name) => folder.moveAside(name),
    ...overrides,
  };
}

export function open(machine: Machine, overrides: Partial<StorageOptions> = {}): Promise<Storage> {
  return openStorage(storageOptions(machine, overrides));
}

/** A closed member: 60 entries in some segments, vote for b in term 3, the store after entry 40. */
export async function member(): Promise<Machine> {
  const machine = { disk: new MemoryDisk(), folder: new StoreFolder() };
  const { wal, store } = await open(machine);
  await wal.bootstrap(STREAM, CONFIGURATION);
  await wal.append({ stream: STREAM, hardState: hardState(2, 'a'), entries: [] });
  for (let from = 1; from <= 49; from += 12) {
    await wal.append({ stream: STREAM, hardState: null, entries: entries(from, from + 11, 2, TEXT) });
  }
  await wal.append({ stream: STREAM, hardState: hardState(3, 'b'), entries: [] });
  await wal.close();
  await store.close();
  machine.folder.set(40, 2);
  return machine;
}

export const ENTRIES = show(entries(1, 60, 2, TEXT));

export function copyOf({ disk, folder }: Machine): Machine {
  return { disk: disk.copy(), folder: folder.copy() };
}

export async function closed(storage: Storage): Promise<void> {
  await storage.wal.close();
  await storage.store.close();
}

export { contents };
