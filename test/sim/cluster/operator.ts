/**
 * Whoever runs the cluster: adds, promotes, replaces and removes members by the commands that `quorate member` sends, and puts
 * machines there and takes them away. One change at a time, sometimes of several members at once.
 */
import type { CommandBody, MemberChange } from '../../../src/machine/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import { MEMBERS_MAX } from '../../../src/types/limits.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { Caller, type CallerDeps } from './caller.ts';
import type { Founding } from './founding.ts';
import type { Operation } from './operations.ts';
import { isIn } from './quorum.ts';
import type { SimMember } from './sim-member.ts';

export interface OperatorDeps extends CallerDeps {
  readonly membership: SimOptions['membership'];
  /** A new machine, not started yet. */
  readonly makeMachine: () => SimMember;
}

/** What the operator wants of a member. */
type Wanted = 'voter' | 'learner' | 'removed';

const REPLACE_TRIES = 3;

export class Operator {
  idle = false;
  /** Changes asked for and carried out, by kind. */
  readonly counts = new Map<string, number>();
  readonly wanted = new Map<MemberId, Wanted>();
  readonly #deps: OperatorDeps;
  readonly #caller: Caller;
  readonly #prng: Prng;
  readonly #world: World;
  /** Went out with a change whose outcome is not known: wanted is either. */
  readonly #unsure = new Set<MemberId>();
  /** Whom a successor was added for. */
  readonly #replaces = new Map<MemberId, MemberId>();

  constructor(deps: OperatorDeps, { voters, learners }: Founding) {
    this.#deps = deps;
    this.#caller = new Caller(deps);
    this.#prng = deps.prng;
    this.#world = deps.world;
    for (const id of voters) this.wanted.set(id, 'voter');
    for (const id of learners) this.wanted.set(id, 'learner');
  }

  /** Ends when the board says so, and what was begun is answered. */
  async run(): Promise<void> {
    const { membership, board } = this.#deps;
    while (!board.ending) {
      await this.#world.sleep(this.#prng.below(2 * membership.everyUs) + 1);
      if (board.ending) break;
      if (this.#caller.session === null) await this.#caller.openSession(this.#open());
      else await this.#change();
    }
    this.idle = true;
  }

  /** Puts a new machine in the place of one that cannot be saved. */
  async replace(lost: MemberId): Promise<void> {
    // One that is refused, since the session has expired meanwhile, is asked for again.
    for (let tries = 0; tries < REPLACE_TRIES; tries += 1) {
      if (this.#caller.session === null) await this.#caller.openSession(this.#open());
      const change = this.#replacement(lost);
      if (change === null) return;
      await this.#ask([change], 'replace');
      if (this.isWanted(change.member) || !this.isSure(change.member)) return;
    }
  }

  /** One given change; true when it was carried out. */
  async change(changes: readonly MemberChange[]): Promise<boolean> {
    const before = this.counts.get('asked') ?? 0;
    await this.#ask(changes, 'asked');
    return (this.counts.get('asked') ?? 0) > before;
  }

  /** Everybody who should be running. */
  isWanted(id: MemberId): boolean {
    return this.wanted.get(id) !== 'removed';
  }

  isSure(id: MemberId): boolean {
    return !this.#unsure.has(id);
  }

  async #change(): Promise<void> {
    const { membership } = this.#deps;
    const voters = this.#those('voter');
    const learners = this.#those('learner');
    const drawn = this.#prng.below(100);
    if (drawn < 15 && learners.length > 0) {
      await this.#ask([{ kind: 'promote', member: this.#prng.pick(learners) }], 'promote');
    } else if (drawn < 45 && voters.length + learners.length < membership.membersMax) {
      const several = this.#prng.chance(membership.severalPermille) ? 2 : 1;
      // Those of whom it is not known may be in.
      const present = [...this.wanted].filter(([id, is]) => is !== 'removed' || !this.isSure(id)).length;
      const count = Math.min(several, MEMBERS_MAX - present);
      if (count <= 0) return;
      await this.#ask(
        Array.from({ length: count }, () => this.#addition()),
        'add',
      );
    } else if (drawn < 75) {
      const change = this.#replacement(this.#prng.pick(voters));
      if (change !== null) await this.#ask([change], 'replace');
    } else await this.#remove([...voters, ...learners], voters.length);
  }

  async #remove(from: readonly MemberId[], voters: number): Promise<void> {
    const leader = this.#leader()?.id;
    const leaving =
      leader !== undefined && from.includes(leader) && this.#prng.chance(400) ? leader : this.#prng.pick(from);
    if (voters <= 2 && this.wanted.get(leaving) === 'voter') return;
    await this.#ask([{ kind: 'remove', member: leaving }], leaving === leader ? 'remove leader' : 'remove');
  }

  #addition(): MemberChange {
    const machine = this.#deps.makeMachine();
    // It may come late: the cluster goes on without it.
    this.#world.after(this.#prng.below(this.#deps.membership.everyUs), null, () => machine.boot());
    const role = this.#prng.chance(700) ? 'voter' : 'learner';
    return added(machine, role, '');
  }

  #replacement(leaving: MemberId): MemberChange | null {
    if (!this.isWanted(leaving)) return null;
    const machine = this.#deps.makeMachine();
    machine.boot();
    return added(machine, 'voter', leaving);
  }

  async #ask(changes: readonly MemberChange[], name: string): Promise<void> {
    const body: CommandBody = { kind: 'changeMembers', changes };
    for (const { member } of changes) this.#unsure.add(member);
    const operation = this.#open();
    const result = await this.#caller.request(operation, body);
    if (operation.state.kind === 'unknown') return;
    for (const { member } of changes) this.#unsure.delete(member);
    if (result?.ok !== true) {
      // Machines that are not wanted after all.
      for (const change of changes) if (change.kind === 'add') this.wanted.set(change.member, 'removed');
      return;
    }
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    for (const change of changes) this.#learn(change);
  }

  #learn(change: MemberChange): void {
    if (change.kind === 'remove') this.#learnRemoval(change.member);
    else if (change.kind === 'promote') this.wanted.set(change.member, 'voter');
    else {
      this.wanted.set(change.member, change.role);
      if (change.replaces === '') return;
      this.wanted.set(change.replaces, 'removed');
      this.#replaces.set(change.member, change.replaces);
    }
  }

  /**
   * Whoever a removed successor was to replace stays, if it is still in. The API counts it, and refuses to go past MEMBERS_MAX; the
   * commands of this operator do not come that way, and a wish that goes past it is never carried out.
   */
  #learnRemoval(member: MemberId): void {
    this.wanted.set(member, 'removed');
    const replaced = this.#replaces.get(member);
    const leader = this.#leader();
    if (replaced === undefined || (leader !== undefined && !isIn(leader.log.group, replaced))) return;
    this.wanted.set(replaced, 'voter');
  }

  #leader(): SimMember | undefined {
    return this.#deps.members.find((member) => member.lastStatus?.role === 'leader');
  }

  #those(wanted: Wanted): readonly MemberId[] {
    return [...this.wanted].filter(([id, is]) => is === wanted && this.isSure(id)).map(([id]) => id);
  }

  #open(): Operation {
    return this.#deps.operations.open({
      client: this.#deps.name,
      effect: 'none',
      loop: '',
      g: 0,
      phase: '',
      subSteps: [],
      withSession: this.#caller.session !== null,
    });
  }
}

export function added(machine: SimMember, role: 'voter' | 'learner', replaces: MemberId | ''): MemberChange {
  return {
    kind: 'add',
    member: machine.id,
    peerAddress: `${machine.id}:7400`,
    clientAddress: `${machine.id}:7401`,
    incarnation: machine.id.padEnd(32, '0').replace(/[^0-9a-f]/g, 'a'),
    role,
    replaces,
  };
}
