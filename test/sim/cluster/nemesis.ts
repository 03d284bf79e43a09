/** Makes trouble: draws an act now and then, and ends it after a while. */
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { NemesisAct, SimOptions } from '../options.ts';
import type { SimNetwork } from '../ports/network.ts';
import type { SimMember } from './sim-member.ts';

export interface NemesisDeps {
  readonly world: World;
  readonly prng: Prng;
  readonly options: SimOptions['nemesis'];
  /** Base election timeout. */
  readonly electionUs: number;
  readonly network: SimNetwork;
  readonly members: readonly SimMember[];
}

export class Nemesis {
  /** Acts carried out, by name. */
  readonly counts = new Map<string, number>();
  readonly #deps: NemesisDeps;
  readonly #weights: number;
  #stopped = false;
  /** Set by `crashLeaderAfterAppend`: the next leader that appends. */
  #trap = false;
  /** Set by `isolateNewLeader`: how many of the next leaders are cut off before anybody hears their first entry. */
  #newLeaders = 0;

  constructor(deps: NemesisDeps) {
    this.#deps = deps;
    this.#weights = deps.options.acts.reduce((sum, [, weight]) => sum + weight, 0);
  }

  start(): void {
    if (this.#deps.options.everyUs > 0) this.#plan();
  }

  /** No trouble from here on; what is broken stays so until the run heals it. */
  stop(): void {
    this.#stopped = true;
  }

  /** An append with entries leaves `leader` for `follower`; `opensTerm`: with the no-op of its term. */
  appendLeaves(leader: SimMember, follower: SimMember, opensTerm: boolean): void {
    if (opensTerm && this.#newLeaders > 0 && !this.#stopped) {
      this.#newLeaders -= 1;
      this.#isolate([leader]);
      this.#later(() => this.#deps.network.healLinks());
      return;
    }
    if (!this.#trap || this.#stopped) return;
    this.#trap = false;
    const { world, prng, network, members } = this.#deps;
    world.note(leader.id, 'trap', follower.position, 0, 0);
    if (prng.chance(300)) {
      this.#mute(leader);
      return;
    }
    // Only one follower hears of it.
    for (const other of members) if (other !== follower && other !== leader) network.cut(leader.id, other.id);
    const process = leader.process;
    const crashes = prng.chance(500);
    world.after(prng.below(3_000), null, () => {
      if (crashes && leader.process === process) this.#down(leader, 'crash');
      else this.#isolate([leader]);
      this.#later(() => network.healLinks());
    });
  }

  /** The append gets through and is acknowledged, but nobody hears how far the leader commits. */
  #mute(leader: SimMember): void {
    const { world, network } = this.#deps;
    world.after(1, null, () => network.mute(leader.id));
    this.#later(() => {
      network.healLinks();
      if (leader.process !== null) this.#down(leader, 'crash');
    });
  }

  #plan(): void {
    const { world, prng, options } = this.#deps;
    world.after(prng.below(options.everyUs * 2) + 1, null, () => {
      if (this.#stopped) return;
      this.#act(this.#draw());
      this.#plan();
    });
  }

  #draw(): NemesisAct {
    let at = this.#deps.prng.below(this.#weights);
    for (const [act, weight] of this.#deps.options.acts) {
      if (at < weight) return act;
      at -= weight;
    }
    return 'crash';
  }

  #act(act: NemesisAct): void {
    const { world, prng, network, members } = this.#deps;
    const leader = this.#leader();
    const anyone = prng.pick(members);
    const target = /leader/i.test(act) ? leader : anyone;
    world.note(target.id, act, 0, 0, 0);
    this.counts.set(act, (this.counts.get(act) ?? 0) + 1);
    switch (act) {
      case 'partition':
        this.#isolate(members.filter(() => prng.chance(500)));
        this.#later(() => network.healLinks());
        return;
      case 'partitionOneWay':
        this.#partitionOneWay();
        return;
      case 'isolateLeader':
        this.#isolate([leader]);
        this.#later(() => network.healLinks());
        return;
      case 'isolateNewLeader':
        this.#newLeaders = prng.between(1, 3);
        // An election is due, and another one after it.
        this.#isolate([this.#leader()]);
        this.#later(() => network.healLinks());
        return;
      case 'staleLeader':
        this.#staleLeader(leader);
        return;
      case 'bridge':
        this.#bridge(anyone);
        return;
      case 'crash':
      case 'crashLeader':
        this.#down(target, 'crash');
        return;
      case 'kill':
        this.#down(target, 'kill');
        return;
      case 'crashAll': {
        const how = prng.chance(700) ? 'crash' : 'kill';
        for (const member of members) this.#down(member, how);
        return;
      }
      case 'crashLeaderAfterAppend':
        this.#trap = true;
        return;
      case 'stop':
        // If it dies on the way, whoever killed it starts it again.
        void target.stop().then(() => this.#later(() => target.boot()));
        return;
      default:
        this.#actOnOne(act, target);
        return;
    }
  }

  #actOnOne(act: NemesisAct, target: SimMember): void {
    const { world, prng, network, members, options } = this.#deps;
    const untilUs = world.nowUs + prng.below(options.lastsMaxUs);
    switch (act) {
      case 'pause':
      case 'pauseLeader':
        target.pause(untilUs);
        return;
      case 'slowDisk':
      case 'slowDiskLeader':
        target.disk.slowUntil(untilUs);
        return;
      case 'wallJump':
        target.wall.jump(prng.between(-1, 1) * prng.scale(10, 7_200_000));
        return;
      case 'transfer': {
        const leader = this.#leader();
        leader.running?.transferLeadership(DATA_STREAM, prng.pick(members).id);
        return;
      }
      default: {
        const other = prng.pick(members);
        network.setLoss(target.id, other.id, prng.between(100, 1000));
        this.#later(() => network.setLoss(target.id, other.id, 0));
        return;
      }
    }
  }

  /** Cuts both directions between `group` and the rest. */
  #isolate(group: readonly SimMember[]): void {
    const { network, members } = this.#deps;
    for (const inside of group) {
      for (const outside of members) {
        if (group.includes(outside)) continue;
        network.cut(inside.id, outside.id);
        network.cut(outside.id, inside.id);
      }
    }
  }

  /** Cut off and stalled until there is another leader; then it runs again and does not know. Clients still reach it. */
  #staleLeader(leader: SimMember): void {
    const { world, prng, network, electionUs } = this.#deps;
    this.#isolate([leader]);
    const wakesUs = world.nowUs + 2 * electionUs + prng.below(2 * electionUs);
    leader.pause(wakesUs);
    world.at(wakesUs + prng.below(2 * electionUs), null, () => network.healLinks());
  }

  #partitionOneWay(): void {
    const { network, members, prng } = this.#deps;
    const deaf = prng.pick(members);
    const mute = prng.chance(500);
    for (const other of members) {
      if (other === deaf || prng.chance(200)) continue;
      if (mute) network.cut(deaf.id, other.id);
      else network.cut(other.id, deaf.id);
    }
    this.#later(() => network.healLinks());
  }

  /** Two halves that only share one member. */
  #bridge(middle: SimMember): void {
    const { network, members } = this.#deps;
    const others = members.filter((member) => member !== middle);
    const half = Math.ceil(others.length / 2);
    for (const left of others.slice(0, half)) {
      for (const right of others.slice(half)) {
        network.cut(left.id, right.id);
        network.cut(right.id, left.id);
      }
    }
    this.#later(() => network.healLinks());
  }

  #down(member: SimMember, how: 'crash' | 'kill'): void {
    if (member.process === null) return;
    if (how === 'crash') member.crash();
    else member.kill();
    this.#deps.world.note(member.id, how, 0, 0, 0);
    const { world, prng, options } = this.#deps;
    const soon = prng.chance(500);
    world.after(prng.below(soon ? 5_000 : options.lastsMaxUs) + 1, null, () => member.boot());
  }

  #later(end: () => void): void {
    this.#deps.world.after(this.#deps.prng.below(this.#deps.options.lastsMaxUs) + 1, null, end);
  }

  /** The leader of the highest term, or anybody. */
  #leader(): SimMember {
    const { members, prng } = this.#deps;
    let best: SimMember | null = null;
    for (const member of members) {
      const status = member.lastStatus;
      if (status?.role !== 'leader' || member.running === null) continue;
      if (best === null || status.term > (best.lastStatus?.term ?? 0)) best = member;
    }
    return best ?? prng.pick(members);
  }
}
