/**
 * Bad disks. While a member is down, or taken down for it, something of what it keeps is damaged; then it starts on that. Never
 * more than a minority of the voters is damaged at the same time, counted until each has everything back.
 */
import type { RaftStatus } from '../../../src/raft/types.ts';
import { MARKER_FILE } from '../../../src/storage/marker.ts';
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions, StorageFault } from '../options.ts';
import { damageDisk } from '../ports/disk-damage.ts';
import { decides } from './quorum.ts';
import type { Process, SimMember } from './sim-member.ts';

export interface StorageNemesisDeps {
  readonly world: World;
  readonly prng: Prng;
  readonly options: SimOptions['storage'];
  readonly members: readonly SimMember[];
  /** Last committed index. */
  readonly ledger: () => number;
}

export class StorageNemesis {
  /** Faults, by name; and what became of them. */
  readonly counts = new Map<string, number>();
  readonly #deps: StorageNemesisDeps;
  /** Damaged members: everything up to here is back when they are well. */
  readonly #owed = new Map<SimMember, number>();
  readonly #wasFull = new Set<SimMember>();
  #stopped = false;

  constructor(deps: StorageNemesisDeps) {
    this.#deps = deps;
  }

  start(): void {
    if (this.#deps.options.everyUs > 0) this.#plan();
  }

  stop(): void {
    this.#stopped = true;
    for (const { disk, store } of this.#deps.members) {
      disk.full = false;
      store.full = false;
    }
  }

  /** A damaged member is well when it votes again, would do so after a crash, and has applied what was committed when it was damaged. */
  look(member: SimMember, status: RaftStatus): void {
    const owed = this.#owed.get(member);
    if (owed === undefined || status.recovering || status.appliedIndex < owed || isMarked(member)) return;
    this.#owed.delete(member);
    member.damaged = false;
    this.#count('healed');
    this.#deps.world.note(member.id, 'healed', owed, 0, 0);
  }

  /** A damaged member may refuse to start: clearly, and then another machine takes its place. */
  explains(member: SimMember, process: Process, error: unknown): boolean {
    if (process.member !== null || !(error instanceof Error)) return false;
    if (says(error, 'no_space') && this.#wasFull.has(member)) {
      // It needs a little room to start; somebody tries again.
      this.#deps.world.after(this.#deps.prng.below(20_000), process, () => {
        member.kill();
        this.#deps.world.after(10_000, null, () => member.boot());
      });
      return true;
    }
    if (!member.damaged && !member.swapped) return false;
    const clear = error.name === 'WalError' || error.name === 'StoreError' || error.name === 'StorageError';
    if (!clear) return false;
    this.#count('refused to start');
    this.#deps.world.note(member.id, 'refuses to start', 0, 0, 0, error.message);
    member.lost = !member.swapped;
    this.#deps.world.after(1, null, () => member.kill());
    return true;
  }

  #plan(): void {
    const { world, prng, options } = this.#deps;
    world.after(prng.below(options.everyUs * 2) + 1, null, () => {
      if (this.#stopped) return;
      this.#act();
      this.#plan();
    });
  }

  #act(): void {
    const { prng, members } = this.#deps;
    const kind = this.#draw();
    const member = prng.pick(members.filter(({ lost }) => !lost));
    if (kind === 'fullDisk') {
      this.#fill(member);
      return;
    }
    if (kind === 'swappedFolders') {
      this.#swap(member);
      return;
    }
    // The disk that is in its machine for now is another member's: the damage would be put down to the wrong one.
    if (member.swapped || this.#wasRemoved(member) || !this.#mayDamage(member)) return;
    this.#takeDown(member);
    if (this.#damage(member, kind)) this.noteDamage(member, kind);
    this.#deps.world.after(prng.below(20_000) + 1, null, () => member.boot());
  }

  #damage(member: SimMember, kind: Exclude<StorageFault, 'fullDisk' | 'swappedFolders'>): boolean {
    const { prng } = this.#deps;
    switch (kind) {
      case 'storeUnreadable':
        if (member.store.durableIndex(DATA_STREAM) === 0) return false;
        member.store.unreadable = true;
        return true;
      case 'storeRow':
        return member.store.damageRow((count) => prng.below(count));
      case 'storeLost':
        if (member.store.durableIndex(DATA_STREAM) === 0) return false;
        member.store.lose();
        return true;
      default:
        return damageDisk(member.disk, prng, kind) !== null;
    }
  }

  /** The member, which is down, has lost or spoilt something. */
  noteDamage(member: SimMember, kind: StorageFault): void {
    member.damaged = true;
    member.wasDamaged = true;
    member.storageChanged();
    this.#owed.set(member, this.#deps.ledger());
    this.#count(kind);
    this.#deps.world.note(member.id, kind, this.#deps.ledger(), 0, 0);
  }

  #fill(member: SimMember): void {
    const { world, prng, options } = this.#deps;
    this.#count('fullDisk');
    world.note(member.id, 'fullDisk', 0, 0, 0);
    this.#wasFull.add(member);
    member.disk.full = true;
    member.store.full = true;
    world.after(prng.below(options.everyUs) + 1, null, () => {
      member.disk.full = false;
      member.store.full = false;
    });
  }

  /** Somebody mixes up the folders of two members, both refuse them, and somebody puts that right. */
  #swap(member: SimMember): void {
    const { world, prng, members } = this.#deps;
    const other = prng.pick(members.filter(({ lost }) => !lost));
    if (members.some(({ swapped }) => swapped)) return;
    if (other === member || this.#owed.size > 0 || !isLabelled(member) || !isLabelled(other)) return;
    this.#count('swappedFolders');
    world.note(member.id, 'swapped', other.position, 0, 0);
    const swap = (): void => {
      for (const one of [member, other]) this.#takeDown(one);
      member.disk.swapWith(other.disk);
      member.store.swapWith(other.store);
      for (const one of [member, other]) {
        one.storageChanged();
        one.swapped = !one.swapped;
      }
    };
    swap();
    for (const one of [member, other]) world.after(prng.below(2_000) + 1, null, () => one.boot());
    world.after(40_000 + prng.below(20_000), null, () => {
      swap();
      for (const one of [member, other]) world.after(prng.below(5_000) + 1, null, () => one.boot());
    });
  }

  #takeDown(member: SimMember): void {
    if (member.process === null) return;
    // Half of the time the disk is at fault in a power cut as well.
    if (this.#deps.prng.chance(500)) member.crash();
    else member.kill();
  }

  /** It is in no log that is sent any more: nobody brings it back, and two such may think that they are a majority. */
  #wasRemoved(member: SimMember): boolean {
    let newest: SimMember | null = null;
    for (const other of this.#deps.members) if (other.log.lastIndex > (newest?.log.lastIndex ?? 0)) newest = other;
    if (newest === null || member.log.group.voters.length === 0) return false;
    const { voters, votersOutgoing, learners } = newest.log.group;
    return ![...voters, ...votersOutgoing, ...learners].includes(member.id);
  }

  /**
   * Whoever decides in any configuration that a log holds can do so without the damaged ones. A learner counts as the voter that it may be
   * before it is well: of a single voter's only successor everybody would wait for what it has lost.
   */
  #mayDamage(member: SimMember): boolean {
    const { members } = this.#deps;
    // The disk in it is another member's: that one would be hurt, and nobody would know of it.
    if (member.swapped) return false;
    const bad = new Set([...this.#owed.keys(), ...members.filter(({ lost }) => lost), member].map(({ id }) => `${id}`));
    return members.every((other) => {
      const { group } = other.log;
      if (group.voters.length === 0) return true;
      const badLearners = group.learners.filter((id) => bad.has(id)).length;
      const badVoters = group.voters.filter((id) => bad.has(id)).length;
      if (badLearners > 0 && 2 * (badLearners + badVoters) >= group.voters.length) return false;
      return decides(group, (id) => !bad.has(id));
    });
  }

  #draw(): StorageFault {
    const { prng, options } = this.#deps;
    let at = prng.below(options.kinds.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [kind, weight] of options.kinds) {
      if (at < weight) return kind;
      at -= weight;
    }
    return 'bitFlip';
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}

/** It recovers, as far as its disk knows. */
function isMarked({ disk }: SimMember): boolean {
  return disk.durableFiles().some(([path]) => path === MARKER_FILE);
}

/** Its folder says whose it is. One in which nothing is yet is as good as any other. */
function isLabelled({ disk }: SimMember): boolean {
  return disk.durableFiles().some(([path]) => path === 'hard-state');
}

function says(error: unknown, code: string): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if ('code' in at && at.code === code) return true;
  return false;
}
