/**
 * Trouble that waits for its moment: an image on its way, a joint configuration that nobody else has yet, a log that has just become
 * empty. By chance these are met so rarely that what goes wrong there would be found late.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import type { SimNetwork } from '../ports/network.ts';
import type { SimMember } from './sim-member.ts';
import { tagOf } from './tracked-log.ts';

export interface AimedNemesisDeps {
  readonly world: World;
  readonly prng: Prng;
  readonly options: SimOptions['aimed'];
  readonly delayMaxUs: number;
  readonly network: SimNetwork;
  readonly members: readonly SimMember[];
}

export class AimedNemesis {
  /** What was done, by name. */
  readonly counts = new Map<string, number>();
  readonly #deps: AimedNemesisDeps;
  /** Joint entries whose fate is drawn: once each, not for every follower. */
  readonly #joint = new Set<string>();
  #busy = false;
  #stopped = false;

  constructor(deps: AimedNemesisDeps) {
    this.#deps = deps;
  }

  stop(): void {
    this.#stopped = true;
  }

  leaves(from: SimMember, to: SimMember, envelope: Envelope): void {
    if (this.#stopped) return;
    const { prng, options } = this.#deps;
    if (envelope.kind === 'snapshotChunk' && envelope.sequence > 0 && prng.chance(options.imagePermille)) {
      this.#begin('cutImage', from, 0, [to]);
      return;
    }
    if (envelope.kind !== 'raft' || envelope.message.kind !== 'appendRequest') return;
    for (const entry of envelope.message.entries) {
      if (entry.kind !== 'configuration') continue;
      const name = `${entry.term} ${entry.index}`;
      if (this.#joint.has(name) || (tagOf(entry).group?.votersOutgoing.length ?? 0) === 0) continue;
      this.#joint.add(name);
      if (prng.chance(options.jointPermille)) this.#begin('cutJoint', from, this.#soonUs(), this.#others(from));
    }
  }

  installed(): void {
    const { prng, options, members } = this.#deps;
    if (this.#stopped || !prng.chance(options.installedPermille)) return;
    const leader = members.find(({ lastStatus, running }) => running !== null && lastStatus?.role === 'leader');
    if (leader !== undefined) this.#begin('cutInstalled', leader, this.#soonUs(), this.#others(leader));
  }

  /** Most of the time what was just sent arrives, and the answer does not. */
  #soonUs(): number {
    return this.#deps.prng.below(3 * this.#deps.delayMaxUs);
  }

  #others(member: SimMember): readonly SimMember[] {
    return this.#deps.members.filter((other) => other !== member);
  }

  #begin(name: string, member: SimMember, delayUs: number, from: readonly SimMember[]): void {
    if (this.#busy) return;
    this.#busy = true;
    const { world, prng, network, options } = this.#deps;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    world.note(member.id, name, from.length, 0, 0);
    world.after(delayUs, null, () => {
      if (!this.#stopped) {
        for (const other of from) {
          network.cut(member.id, other.id);
          network.cut(other.id, member.id);
        }
      }
      world.after(prng.below(options.lastsMaxUs) + 1, null, () => {
        this.#busy = false;
        for (const other of from) {
          network.uncut(member.id, other.id);
          network.uncut(other.id, member.id);
        }
      });
    });
  }
}
