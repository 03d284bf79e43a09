/**
 * The tables of a member, as a LevelDB without synced writes keeps them: batches are atomic and ordered, a process
 * may die without losing any, a power cut may take away any number of the last ones that were not synced. A staged image
 * is lost with the process; its installation is synced, and that the log was told of it, and everything before with them.
 */
import type { RowChange } from '../../../src/machine/types.ts';
import type { SnapshotMark } from '../../../src/raft/types.ts';
import { corrupt, foreign, StoreError } from '../../../src/store/store-error.ts';
import type { Staging, Store, StoredState, StoreImage } from '../../../src/store/types.ts';
import type { StreamId } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';
import { PowerCut, type Step } from './steps.ts';
import { Rows } from './store-rows.ts';

type Batch =
  | {
      readonly kind: 'write';
      readonly stream: StreamId;
      readonly mark: SnapshotMark;
      readonly changes: readonly RowChange[];
    }
  | { readonly kind: 'install'; readonly stream: StreamId; readonly mark: SnapshotMark; readonly rows: Rows }
  | { readonly kind: 'installed'; readonly stream: StreamId };

interface Generation {
  mark: SnapshotMark | null;
  installing: boolean;
  rows: Rows;
}

type Generations = Map<StreamId, Generation>;

export class SimStoreDisk {
  /** Told of each step that changes the disk, before and after it. */
  step: Step = (_kind, _detail, effect) => effect();
  /** No room: writes reject, nothing of them is there. */
  full = false;
  /** LevelDB finds damage when the store is opened next. */
  unreadable = false;
  readonly #world: World;
  readonly #prng: Prng;
  /** What a power cut cannot take away. */
  #durable: Generations = new Map();
  /** Oldest first. */
  #batches: Batch[] = [];
  /** Batches that are durable and no longer among them. */
  #synced = 0;
  #current: Generations = new Map();
  /** Whose it is; null for a new one. */
  #label: string | null = null;

  constructor(world: World, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
  }

  /** Rejects when the tables cannot be read. */
  open(owner: Owner, label: string): Promise<Store> {
    const queue = new Calls(this.#world, this.#prng, owner);
    return queue.call(100, () => {
      this.#label ??= label;
      if (this.#label !== label) throw foreign('store', this.#label, label);
      if (this.unreadable) throw corrupt('store', '1 missing file, 000005.ldb');
      return new ProcessStore(this, queue);
    });
  }

  /** The power goes. `kept` as for the disk. */
  crash(kept: number | null = null): void {
    const prng = this.#prng;
    const total = this.#batches.length;
    const drawn = (): number => prng.pick([total, prng.below(total + 1), Math.max(0, total - prng.below(4)), 0]);
    const keptBatches = kept === 0 ? 0 : kept === 1000 ? total : drawn();
    for (const batch of this.#batches.slice(0, keptBatches)) applyBatch(this.#durable, batch);
    this.#batches = [];
    this.#current = copyOf(this.#durable);
  }

  /** The damaged tables are moved aside; a new store begins. */
  moveAside(owner: Owner): Promise<void> {
    const effect = (): void => this.step('store', 'move aside', () => this.lose());
    return new Calls(this.#world, this.#prng, owner).call(500, effect);
  }

  /** The folder is gone. */
  lose(): void {
    this.unreadable = false;
    this.#label = null;
    this.#durable = new Map();
    this.#current = new Map();
    this.#batches = [];
  }

  /** Bits rot in a row; which one, `pick` says. False when there is none. The process must be dead. */
  damageRow(pick: (count: number) => number): boolean {
    this.#syncAll();
    for (const { rows } of this.#durable.values()) {
      const row = rows.sorted()[pick(rows.size)];
      if (row === undefined) continue;
      const at = pick(row.value.length);
      const rotten = String.fromCharCode(row.value.charCodeAt(at) ^ 1);
      rows.apply([{ ...row, value: `${row.value.slice(0, at)}${rotten}${row.value.slice(at + 1)}` }]);
      this.#current = copyOf(this.#durable);
      return true;
    }
    return false;
  }

  /** Everything is as it was on the other one, and the other way round: somebody mixed the folders up. */
  swapWith(other: SimStoreDisk): void {
    for (const disk of [this, other]) disk.#syncAll();
    [this.#durable, other.#durable] = [other.#durable, this.#durable];
    [this.#label, other.#label] = [other.#label, this.#label];
    [this.unreadable, other.unreadable] = [other.unreadable, this.unreadable];
    this.#current = copyOf(this.#durable);
    other.#current = copyOf(other.#durable);
  }

  /** Begins with a copy of what is on another one, all of it durable. Nobody must be using that one. */
  copyFrom(other: SimStoreDisk): void {
    other.#syncAll();
    this.#label = other.#label;
    this.#durable = copyOf(other.#durable);
    this.#current = copyOf(other.#durable);
  }

  /** Entry up to which the tables stand, whatever happens; 0 for a new store. */
  durableIndex(stream: StreamId): number {
    return this.#durable.get(stream)?.mark?.index ?? 0;
  }

  // ------------------------------------------------------------------------------------- for ProcessStore

  generation(stream: StreamId): Generation | undefined {
    return this.#current.get(stream);
  }

  commit(batch: Batch): void {
    if (this.full && batch.kind === 'write')
      throw new StoreError('no_space', 'store', 'store: no space left on device');
    const before = this.#current.get(batch.stream)?.mark?.index ?? 0;
    if (batch.kind !== 'installed' && batch.mark.index < before) {
      throw new Error(`the mark goes back from ${before} to ${batch.mark.index}`);
    }
    this.step('store', batch.kind, () => {
      applyBatch(this.#current, batch);
      this.#batches.push(batch);
      if (batch.kind !== 'write') this.#syncAll();
    });
  }

  sync(through: number): void {
    this.step('store', 'sync', () => {
      for (const batch of this.#batches.splice(0, through - this.#synced)) this.#harden(batch);
    });
  }

  /** Batches written so far. */
  get written(): number {
    return this.#synced + this.#batches.length;
  }

  #syncAll(): void {
    for (const batch of this.#batches.splice(0)) this.#harden(batch);
  }

  #harden(batch: Batch): void {
    applyBatch(this.#durable, batch);
    this.#synced += 1;
  }
}

/** Calls of one process: carried out in order, each a while after it was made; unseen once the process is dead. */
class Calls {
  readonly #world: World;
  readonly #prng: Prng;
  readonly #owner: Owner;
  #lastUs = 0;

  constructor(world: World, prng: Prng, owner: Owner) {
    this.#world = world;
    this.#prng = prng;
    this.#owner = owner;
  }

  call<T>(delayMaxUs: number, effect: () => T): Promise<T> {
    this.#lastUs = Math.max(this.#lastUs, this.#world.nowUs + this.#prng.between(10, delayMaxUs));
    return new Promise((resolve, reject) => {
      this.#world.at(this.#lastUs, this.#owner, () => {
        try {
          resolve(effect());
        } catch (error) {
          // Nobody is there to hear of it.
          if (!(error instanceof PowerCut)) reject(error as Error);
        }
      });
    });
  }
}

class ProcessStore implements Store {
  readonly #disk: SimStoreDisk;
  readonly #calls: Calls;
  /** The image that comes in, by stream. */
  readonly #staged = new Map<StreamId, Rows>();
  #closed = false;

  constructor(disk: SimStoreDisk, calls: Calls) {
    this.#disk = disk;
    this.#calls = calls;
  }

  state(stream: StreamId): Promise<StoredState> {
    return this.#call(100, () => {
      const found = this.#disk.generation(stream);
      return { mark: found?.mark ?? null, installing: found?.installing ?? false };
    });
  }

  write(stream: StreamId, mark: SnapshotMark, changes: readonly RowChange[]): Promise<void> {
    const copy = changes.map((change) => ({ ...change }));
    return this.#call(2_000, () => this.#disk.commit({ kind: 'write', stream, mark, changes: copy }));
  }

  sync(): Promise<void> {
    let through = 0;
    // Calls are carried out in order: at this moment, every write that resolved before the call is there.
    void this.#call(10, () => {
      through = this.#disk.written;
    });
    return this.#call(2_000, () => this.#disk.sync(through));
  }

  image(stream: StreamId): Promise<StoreImage | null> {
    return this.#call(100, () => {
      const found = this.#disk.generation(stream);
      if (found === undefined || found.mark === null) return null;
      const rows = found.rows.copy();
      return {
        mark: found.mark,
        read: (after, bytesMax) => this.#call(200, () => rows.page(after, bytesMax)),
        close: () => this.#calls.call(10, () => undefined),
      };
    });
  }

  stage(stream: StreamId): Promise<Staging> {
    const rows = new Rows();
    const check = (): void => {
      if (this.#staged.get(stream) !== rows) throw new Error('what was staged is gone: another image took its place');
    };
    const staging: Staging = {
      add: (added) =>
        this.#call(500, () => {
          check();
          this.#disk.step('store', 'stage', () => rows.apply(added));
        }),
      install: (mark) =>
        this.#call(2_000, () => {
          check();
          this.#disk.commit({ kind: 'install', stream, mark, rows: rows.copy() });
          this.#staged.delete(stream);
        }),
      read: (after, bytesMax) =>
        this.#call(200, () => {
          check();
          return rows.page(after, bytesMax);
        }),
      discard: () =>
        this.#call(50, () => {
          if (this.#staged.get(stream) === rows) this.#staged.delete(stream);
        }),
    };
    return this.#call(100, () => {
      this.#staged.set(stream, rows);
      return staging;
    });
  }

  installed(stream: StreamId): Promise<void> {
    return this.#call(1_000, () => this.#disk.commit({ kind: 'installed', stream }));
  }

  close(): Promise<void> {
    if (this.#closed) return this.#calls.call(10, () => undefined);
    this.#closed = true;
    return this.#calls.call(100, () => undefined);
  }

  #call<T>(delayMaxUs: number, effect: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the store is closed'));
    return this.#calls.call(delayMaxUs, effect);
  }
}

function applyBatch(generations: Generations, batch: Batch): void {
  const found = generations.get(batch.stream) ?? { mark: null, installing: false, rows: new Rows() };
  generations.set(batch.stream, found);
  switch (batch.kind) {
    case 'write':
      found.mark = batch.mark;
      found.rows.apply(batch.changes);
      return;
    case 'install':
      found.mark = batch.mark;
      found.rows = batch.rows.copy();
      found.installing = true;
      return;
    case 'installed':
      found.installing = false;
      return;
  }
}

function copyOf(generations: Generations): Generations {
  return new Map(
    [...generations].map(([stream, { mark, installing, rows }]) => [stream, { mark, installing, rows: rows.copy() }]),
  );
}
