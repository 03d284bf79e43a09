/** A client that watches: holds on to one member while it lives, and resumes on another where it was. */
import type { MachineEvent } from '../../../src/machine/types.ts';
import type { WatchFeed } from '../../../src/node/types.ts';
import { DATA_STREAM, revision } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimMember } from './sim-member.ts';

export interface WatcherDeps {
  readonly name: string;
  readonly world: World;
  readonly prng: Prng;
  /** Those that there is sense in asking. */
  readonly members: () => readonly SimMember[];
  /** Time between two looks at whether the member is still there, microseconds. */
  readonly patienceUs: number;
  readonly delivered: (member: SimMember, events: readonly MachineEvent[]) => void;
  readonly violate: (message: string) => void;
}

export class Watcher {
  readonly name: string;
  readonly #deps: WatcherDeps;
  #from = revision(1);
  /** Rises with each feed; answers of an earlier one are not ours any more. */
  #life = 0;

  constructor(deps: WatcherDeps) {
    this.name = deps.name;
    this.#deps = deps;
  }

  start(): void {
    this.#attach();
  }

  #attach(): void {
    const { world, prng, members, patienceUs } = this.#deps;
    const life = ++this.#life;
    const member = prng.pick(members());
    const { process } = member;
    const feed = member.running?.watch(DATA_STREAM, this.#from) ?? null;
    world.note(this.name, 'watches', member.position, this.#from, life);
    if (feed !== null) this.#take(member, feed, life);
    const look = (): void => {
      if (life !== this.#life) return;
      if (feed !== null && member.process === process && !member.abandoned && !prng.chance(100)) {
        world.after(patienceUs, null, look);
        return;
      }
      if (member.process === process) feed?.close();
      this.#attach();
    };
    world.after(prng.below(patienceUs) + 1, null, look);
  }

  #take(member: SimMember, feed: WatchFeed, life: number): void {
    const { process } = member;
    void feed.next().then((batch) => {
      if (life !== this.#life) return;
      switch (batch.kind) {
        case 'events': {
          this.#deps.delivered(member, batch.events);
          this.#from = revision((batch.events.at(-1)?.revision ?? this.#from - 1) + 1);
          // A slow reader, at times.
          const delayUs = this.#deps.prng.chance(800) ? 0 : this.#deps.prng.below(this.#deps.patienceUs);
          this.#deps.world.after(delayUs, process, () => {
            if (life === this.#life) this.#take(member, feed, life);
          });
          return;
        }
        case 'closed':
          return;
        default:
          this.#deps.violate(`watch ${this.name} on ${member.id} ends with ${batch.kind}`);
      }
    });
  }
}
