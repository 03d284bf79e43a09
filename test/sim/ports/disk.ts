/**
 * A simulated disk. It belongs to the machine and outlives the process; each process gets a {@link Disk} of its own
 * over it, which goes silent when the process dies.
 *
 * What survives a power cut: sectors that were synced, and names (created, renamed, removed) of folders that were
 * synced, in the order of the file system's journal. Anything else may or may not.
 */
import type { Disk } from '../../../src/ports/disk.ts';
import type { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { folderOf, notFound } from './disk-paths.ts';
import { Inode } from './inode.ts';
import { ProcessDisk } from './process-disk.ts';
import { PowerCut, type Step } from './steps.ts';

/** A change of names that a power cut may undo. */
interface NameChange {
  readonly folder: string;
  readonly path: string;
  /** null: the name is gone. 'folder': it is a folder. */
  readonly target: Inode | 'folder' | null;
  /** A rename takes this name away in the same change. */
  readonly gone?: string;
}

type Names = Map<string, Inode | 'folder'>;

export interface DiskFaults {
  torn: number;
  slow: number;
  broken: number;
}

export class SimDisk {
  readonly faults: DiskFaults = { torn: 0, slow: 0, broken: 0 };
  /** Told of each step that changes the disk, before and after it. */
  step: Step = (_kind, _detail, effect) => effect();
  /** No room: nothing can be allocated; what is allocated can be written. */
  full = false;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #options: SimOptions['disk'];
  #names: Names = new Map();
  readonly #durableNames: Names = new Map();
  #changes: NameChange[] = [];
  /** Of `durableFiles`; null after the names changed. */
  #durableList: readonly (readonly [string, Inode])[] | null = null;
  /** Each settles or drops one operation in flight; the argument says whether the power was cut. */
  readonly #inFlight = new Map<number, (powerCut: boolean) => void>();
  #nextId = 1;
  #slowUntilUs = 0;
  #healthy = false;
  #healthyMaxUs = 0;

  constructor(world: World, prng: Prng, options: SimOptions['disk']) {
    this.#world = world;
    this.#prng = prng;
    this.#options = options;
  }

  /** Files that a power cut now could not take away, by path, sorted. */
  durableFiles(): readonly (readonly [path: string, file: Inode])[] {
    this.#durableList ??= filesOf(this.#durableNames);
    return this.#durableList;
  }

  /** Files as a process sees them. */
  files(): readonly (readonly [path: string, file: Inode])[] {
    return filesOf(this.#names);
  }

  slowUntil(timeUs: number): void {
    this.#slowUntilUs = timeUs;
  }

  /** Ends all trouble for good; from now on a sync takes `maxUs` at most. */
  heal(maxUs: number): void {
    this.#healthy = true;
    this.#healthyMaxUs = maxUs;
    this.#slowUntilUs = 0;
  }

  /** The view of one process. */
  attach(owner: Owner): Disk {
    return new ProcessDisk(this, owner);
  }

  /**
   * The power goes. The process must be dead already. `kept`: how much of what was not synced survives, in thousandths;
   * null: drawn.
   */
  crash(kept: number | null = null): void {
    const prng = this.#prng;
    const keptPermille = kept ?? prng.pick([0, 1000, 500, 900, 100]);
    for (const [, end] of [...this.#inFlight]) end(true);
    this.#inFlight.clear();
    const files = new Set<Inode>();
    for (const names of [this.#names, this.#durableNames]) for (const [, file] of filesOf(names)) files.add(file);
    for (const change of this.#changes) if (change.target instanceof Inode) files.add(change.target);
    for (const file of [...files].sort((a, b) => a.id - b.id)) file.crash(prng, keptPermille);
    this.faults.torn += 1;
    const names = this.#changes.length;
    const keptNames = kept === 0 ? 0 : kept === 1000 ? names : prng.pick([0, names, prng.below(names + 1)]);
    for (const change of this.#changes.slice(0, keptNames)) applyChange(this.#durableNames, change);
    this.#durableList = null;
    this.#changes = [];
    this.#names = new Map(this.#durableNames);
  }

  /** The process dies, the machine goes on: the page cache stays, calls in flight finish unseen. */
  kill(): void {
    for (const [, end] of [...this.#inFlight]) end(false);
    this.#inFlight.clear();
    for (const [, file] of filesOf(this.#names)) file.kill();
  }

  // ------------------------------------------------------------------------------------- bad disks, at rest

  /** A file is not there any more. */
  lose(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
    this.#durableList = null;
  }

  /** Everything is as it was on the other one, and the other way round: somebody mixed the folders up. */
  swapWith(other: SimDisk): void {
    for (const disk of [this, other]) disk.persistNames(new Set(disk.#changes));
    const mine = [...this.#names];
    const theirs = [...other.#names];
    for (const [disk, names] of [
      [this, theirs],
      [other, mine],
    ] as const) {
      disk.#names.clear();
      disk.#durableNames.clear();
      disk.#durableList = null;
      for (const [path, target] of names) {
        disk.#names.set(path, target);
        disk.#durableNames.set(path, target);
      }
    }
  }

  /** Begins with a copy of what is on another one, all of it durable. Nobody must be using that one. */
  copyFrom(other: SimDisk): void {
    other.persistNames(new Set(other.#changes));
    for (const [path, target] of other.#durableNames) {
      const copy = target === 'folder' ? target : target.copyDurable(this.#nextId++);
      this.#names.set(path, copy);
      this.#durableNames.set(path, copy);
    }
    this.#durableList = null;
  }

  // ------------------------------------------------------------------------------------- for ProcessDisk

  /** Runs `effect` after the time that such an operation takes. A power cut before that calls `torn`. */
  operate<T>(owner: Owner, delayUs: number, effect: () => T, torn: () => void = () => undefined): Promise<T> {
    if (!owner.alive) return new Promise(() => undefined);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const event = this.#world.after(delayUs, owner, () => {
        this.#inFlight.delete(id);
        try {
          resolve(effect());
        } catch (error) {
          // Nobody is there to hear of it.
          if (!(error instanceof PowerCut)) reject(error as Error);
        }
      });
      this.#inFlight.set(id, (powerCut) => {
        event.cancelled = true;
        if (powerCut) torn();
        else attempt(effect);
      });
    });
  }

  quickUs(): number {
    return this.#prng.between(5, 60);
  }

  syncUs(): number {
    const { syncMinUs, syncMaxUs, slowPermille, slowMaxUs } = this.#options;
    if (this.#healthy) return this.#prng.between(10, this.#healthyMaxUs);
    let delayUs = this.#prng.between(syncMinUs, syncMaxUs);
    const slowNow = this.#world.nowUs < this.#slowUntilUs;
    if (slowNow || this.#prng.chance(slowPermille)) {
      this.faults.slow += 1;
      delayUs += this.#prng.below(slowMaxUs);
    }
    return delayUs;
  }

  syncBreaks(): boolean {
    const breaks = !this.#healthy && this.#prng.chance(this.#options.brokenPermille);
    if (breaks) this.faults.broken += 1;
    return breaks;
  }

  get prng(): Prng {
    return this.#prng;
  }

  lookup(path: string): Inode | 'folder' | null {
    return this.#names.get(path) ?? null;
  }

  requireFolder(path: string): void {
    const folder = folderOf(path);
    if (folder !== '' && this.#names.get(folder) !== 'folder') throw notFound(folder);
  }

  create(path: string): Inode {
    const inode = new Inode(this.#nextId++);
    this.#change({ folder: folderOf(path), path, target: inode });
    return inode;
  }

  makeFolder(path: string): void {
    if (path === '' || this.#names.get(path) === 'folder') return;
    this.makeFolder(folderOf(path));
    this.#change({ folder: folderOf(path), path, target: 'folder' });
  }

  list(folder: string): readonly string[] {
    const prefix = folder === '' ? '' : `${folder}/`;
    const names = [...this.#names.keys()].filter((path) => folderOf(path) === folder && path.startsWith(prefix));
    return names.map((path) => path.slice(prefix.length)).sort();
  }

  /** One change: a power cut leaves the old name or the new one. */
  rename(from: string, to: string): void {
    const target = this.#names.get(from);
    if (target === undefined) throw notFound(from);
    this.#change({ folder: folderOf(to), path: to, target, gone: from });
  }

  remove(path: string): void {
    if (!this.#names.has(path)) throw notFound(path);
    this.#change({ folder: folderOf(path), path, target: null });
  }

  /** The changes of a folder that a sync called now covers. */
  changesOf(folder: string): ReadonlySet<NameChange> {
    return new Set(this.#changes.filter((change) => change.folder === folder));
  }

  persistNames(covered: ReadonlySet<NameChange>): void {
    this.#durableList = null;
    for (const change of this.#changes) if (covered.has(change)) applyChange(this.#durableNames, change);
    this.#changes = this.#changes.filter((change) => !covered.has(change));
  }

  #change(change: NameChange): void {
    applyChange(this.#names, change);
    this.#changes.push(change);
  }
}

function applyChange(names: Names, change: NameChange): void {
  if (change.target === null) names.delete(change.path);
  else names.set(change.path, change.target);
  if (change.gone !== undefined) names.delete(change.gone);
}

function filesOf(names: Names): readonly (readonly [string, Inode])[] {
  const files: (readonly [string, Inode])[] = [];
  for (const path of [...names.keys()].sort()) {
    const target = names.get(path);
    if (target instanceof Inode) files.push([path, target]);
  }
  return files;
}

function attempt(effect: () => unknown): void {
  try {
    effect();
  } catch {
    // The process that would have heard of it is gone.
  }
}
