/**
 * Breadth first through every state that the members can get into, by whatever order of events.
 *
 * X1. The network is the set of all messages ever sent. Any of them may be delivered at any time, again and again: so messages are
 *     lost, repeated, late and out of order without a step for it.
 * X2. A level holds every state that so many steps lead to and fewer do not. When a level is done, nothing of that depth was missed,
 *     but for two states that have one fingerprint of 64 bits.
 * X3. Members that are alike can swap names (`renamingsOf`).
 */
import type { Message } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { memberId } from '../../src/types/ids.ts';
import { type Act, type Founding, newMember } from './member.ts';
import { isQuorum } from './quorums.ts';
import { Rules } from './rules.ts';
import type { Scope } from './scopes.ts';
import { type Answer, type Facts, renamingsOf, Space } from './space.ts';
import { FingerprintSet, Numbers } from './tables.ts';

export interface Progress {
  /** Every state of this depth has been looked at. */
  readonly depth: number;
  readonly states: number;
  readonly transitions: number;
  /** Calls of the core; all other transitions were known from before. */
  readonly computed: number;
  /** States of the next depth. */
  readonly frontier: number;
  readonly tookMs: number;
}

export interface Outcome extends Progress {
  readonly scope: string;
  /** complete: there are no further states. */
  readonly ended: 'complete' | 'depth' | 'time' | 'states' | 'broken';
  readonly broken: { readonly rule: string; readonly path: readonly string[] } | null;
  /** Names that members can swap. */
  readonly symmetries: number;
}

export interface Bounds {
  readonly depthMax: number;
  readonly untilMs: number;
  /** Bounds the memory: about 100 bytes each. */
  readonly statesMax: number;
}

const NAMES = ['a', 'b', 'c', 'd', 'e'];
/** How often the clock is read, in states. */
const CLOCK_EVERY = 256;

interface Claim {
  readonly to: number;
  /** Position of the sender, and term, of one who says by this that it leads; else −1. */
  readonly leader: number;
  /** Position of the voter, who gives its vote of `term` to `candidate`; else −1. */
  readonly voter: number;
  readonly candidate: number;
  readonly term: number;
}

class Broken extends Error {}

export class Explorer {
  readonly #scope: Scope;
  readonly #space: Space;
  readonly #rules: Rules;
  readonly #seen = new FingerprintSet(20);
  readonly #claims: Claim[] = [];
  readonly #parents = new Numbers();
  readonly #causes = new Numbers();
  #level = new Numbers();
  #next = new Numbers();
  #levelStates = 0;
  #nextStates = 0;
  #transitions = 0;
  #depth = 0;
  readonly #startedMs = performance.now();

  // The state that is being looked at.
  #number = 0;
  #ledger = 0;
  #proposed = 0;
  #changed = 0;
  readonly #members: number[] = [];
  readonly #facts: Facts[] = [];
  #network: number[] = [];
  /** For each message the last state that had it. */
  readonly #stamps: number[] = [];
  readonly #leaders: number[] = [];
  readonly #votes: number[] = [];
  readonly #high: Int32Array;
  readonly #low: Int32Array;

  /** `symmetry`: false: members keep their names, to check that nothing depends on X3. */
  constructor(scope: Scope, symmetry: boolean) {
    this.#scope = scope;
    const ids = NAMES.slice(0, scope.members).map(memberId);
    const founders = { voters: ids.slice(0, scope.founders), votersOutgoing: [], learners: [] };
    const founding: Founding = { founders, scope, ids };
    const alike = symmetry && scope.founders === scope.members && scope.changes === 0 && scope.start === null;
    this.#space = new Space(founding, renamingsOf(ids, alike));
    this.#rules = new Rules(this.#space);
    this.#high = new Int32Array(this.#space.renamings.length);
    this.#low = new Int32Array(this.#space.renamings.length);
    const members = ids.map((id) => newMember(id, founding));
    for (const member of members) this.#members.push(this.#space.numberOfMember(member));
    this.#ledger = this.#space.numberOfLedger([]);
    this.#save(-1, 0, this.#members, [], [], this.#ledger, 0, 0);
  }

  /** `tell`: after every depth. */
  run(bounds: Bounds, tell: (progress: Progress) => void): Outcome {
    try {
      for (;;) {
        const ended = this.#nextLevel(bounds);
        if (ended !== null) return this.#outcome(ended, null);
        tell(this.#progress());
        if (this.#nextStates === 0) return this.#outcome('complete', null);
      }
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      return this.#outcome('broken', error.message);
    }
  }

  #nextLevel(bounds: Bounds): Outcome['ended'] | null {
    if (this.#depth >= bounds.depthMax) return 'depth';
    [this.#level, this.#next] = [this.#next, new Numbers()];
    [this.#levelStates, this.#nextStates] = [this.#nextStates, 0];
    let at = 0;
    for (let turn = 0; turn < this.#levelStates; turn++) {
      if (turn % CLOCK_EVERY === 0 && performance.now() > bounds.untilMs) return 'time';
      if (this.#seen.size > bounds.statesMax) return 'states';
      at = this.#load(at);
      this.#expand();
    }
    this.#depth++;
    return null;
  }

  #progress(): Progress {
    return {
      depth: this.#depth,
      states: this.#parents.length,
      transitions: this.#transitions,
      computed: this.#space.computed,
      frontier: this.#nextStates,
      tookMs: performance.now() - this.#startedMs,
    };
  }

  #outcome(ended: Outcome['ended'], rule: string | null): Outcome {
    const broken = rule === null ? null : { rule, path: this.#path() };
    const { renamings } = this.#space;
    return { scope: this.#scope.name, ended, broken, symmetries: renamings.length, ...this.#progress() };
  }

  /** Reads the record at `at`; returns where the next one begins. */
  #load(at: number): number {
    const level = this.#level;
    const count = this.#scope.members;
    this.#number = level.get(at);
    this.#ledger = level.get(at + 1);
    this.#proposed = level.get(at + 2);
    this.#changed = level.get(at + 3);
    for (let which = 0; which < count; which++) {
      const member = level.get(at + 4 + which);
      this.#members[which] = member;
      this.#facts[which] = this.#space.facts(member);
    }
    const start = at + 5 + count;
    const end = start + level.get(start - 1);
    this.#network = [];
    this.#leaders.length = 0;
    this.#votes.length = 0;
    for (let place = start; place < end; place++) {
      const message = level.get(place);
      this.#network.push(message);
      this.#stamps[message] = this.#number;
      const claim = this.#claim(message);
      if (claim.leader >= 0) this.#leaders[claim.term] = claim.leader;
      if (claim.voter >= 0) this.#votes[claim.term * count + claim.voter] = claim.candidate;
    }
    this.#sum();
    return end;
  }

  #sum(): void {
    const { members, messages, ledgers, renamings } = this.#space;
    const count = renamings.length;
    for (let which = 0; which < count; which++) {
      let high =
        Math.imul(this.#proposed + 8 * this.#changed, 0x2545f491) +
        (ledgers.high[this.#ledger * count + which] as number);
      let low = ledgers.low[this.#ledger * count + which] as number;
      for (const member of this.#members) {
        high = (high + (members.high[member * count + which] as number)) | 0;
        low = (low + (members.low[member * count + which] as number)) | 0;
      }
      for (const message of this.#network) {
        high = (high + (messages.high[message * count + which] as number)) | 0;
        low = (low + (messages.low[message * count + which] as number)) | 0;
      }
      this.#high[which] = high;
      this.#low[which] = low;
    }
  }

  #claim(number: number): Claim {
    const known = this.#claims[number];
    if (known !== undefined) return known;
    const message = this.#space.message(number);
    const { ids } = this.#space.founding;
    const from = ids.indexOf(message.from);
    const leads = message.kind === 'appendRequest' || message.kind === 'heartbeatRequest';
    const asks = message.kind === 'voteRequest';
    const votes = asks || (message.kind === 'voteResponse' && message.granted);
    const to = ids.indexOf(message.to);
    const claim = {
      to,
      leader: leads ? from : -1,
      voter: votes ? from : -1,
      candidate: asks ? from : to,
      term: message.term,
    };
    this.#claims[number] = claim;
    return claim;
  }

  #expand(): void {
    // What is sent meanwhile belongs to the successors.
    for (const message of this.#network) {
      const { to } = this.#claim(message);
      this.#follow(to, message);
    }
    for (const [at, facts] of this.#facts.entries()) for (const act of facts.acts) this.#try(at, act);
  }

  #try(at: number, number: number): void {
    const act = this.#space.acts.things[number] as Act;
    if (act.kind === 'propose' && act.name !== this.#proposed + 1) return;
    if (act.kind === 'change' && this.#changed >= this.#scope.changes) return;
    this.#follow(at, -1 - number);
  }

  #follow(at: number, input: number): void {
    const before = this.#members[at] as number;
    const answer = this.#space.answer(before, input);
    this.#transitions++;
    if (answer.broken !== null) this.#stop(answer.broken, at, input);
    let news: number[] = [];
    for (const message of answer.sent) if (this.#stamps[message] !== this.#number) news.push(message);
    if (answer.next === before && news.length === 0) return;
    const changed = this.#space.facts(answer.next);
    if (changed.term > this.#scope.terms) return;
    for (const message of news) this.#checkClaim(message, at, input);
    if (changed.leads && !(this.#facts[at] as Facts).leads) this.#checkVotes(changed, at, input);
    if (news.length === 0) news = NONE;
    this.#arrive(at, input, answer, changed, news);
  }

  /** ES: one leader for each term, and one vote of each member, in all that was ever said. */
  #checkClaim(message: number, at: number, input: number): void {
    const { leader, voter, candidate, term } = this.#claim(message);
    if (leader >= 0 && (this.#leaders[term] ?? leader) !== leader) this.#stop(`ES: two lead term ${term}`, at, input);
    const vote = voter >= 0 ? this.#votes[term * this.#scope.members + voter] : undefined;
    if (vote !== undefined && vote !== candidate) this.#stop(`ES: ${NAMES[voter]} votes twice in ${term}`, at, input);
  }

  /** ES: a quorum has said that it votes for the new leader, itself included. */
  #checkVotes({ term, configuration }: Facts, at: number, input: number): void {
    const { scope, ids } = this.#space.founding;
    const voters = ids.filter((_, voter) => voter === at || this.#votes[term * scope.members + voter] === at);
    if (isQuorum(voters, configuration)) return;
    this.#stop(`ES: ${NAMES[at]} leads term ${term} with votes of ${voters.join(',')} alone`, at, input);
  }

  #arrive(at: number, input: number, answer: Answer, changed: Facts, news: readonly number[]): void {
    const before = this.#facts[at] as Facts;
    this.#facts[at] = changed;
    const ledger = this.#rules.committed(this.#facts, changed, before, answer.counted, this.#ledger);
    if (typeof ledger === 'string') this.#stop(ledger, at, input);
    const act = input < 0 ? (this.#space.acts.things[-1 - input] as Act).kind : 'receive';
    const proposed = this.#proposed + (act === 'propose' ? 1 : 0);
    const reconfigured = this.#changed + (act === 'change' ? 1 : 0);
    if (this.#isNew(at, answer.next, ledger, proposed, reconfigured, news)) {
      const broken = this.#rules.state(this.#facts, changed, ledger);
      if (broken !== null) this.#stop(broken, at, input);
      const member = this.#members[at] as number;
      this.#members[at] = answer.next;
      this.#save(
        this.#number,
        this.#cause(at, input),
        this.#members,
        this.#network,
        news,
        ledger,
        proposed,
        reconfigured,
      );
      this.#members[at] = member;
    }
    this.#facts[at] = before;
  }

  #isNew(
    at: number,
    next: number,
    ledger: number,
    proposed: number,
    changed: number,
    news: readonly number[],
  ): boolean {
    const { members, messages, ledgers, renamings } = this.#space;
    const count = renamings.length;
    const old = this.#members[at] as number;
    const spent = Math.imul(proposed + 8 * changed - this.#proposed - 8 * this.#changed, 0x2545f491);
    let bestHigh = 0;
    let bestLow = 0;
    for (let which = 0; which < count; which++) {
      let high = (this.#high[which] as number) + spent;
      let low = this.#low[which] as number;
      high += (members.high[next * count + which] as number) - (members.high[old * count + which] as number);
      low += (members.low[next * count + which] as number) - (members.low[old * count + which] as number);
      high += (ledgers.high[ledger * count + which] as number) - (ledgers.high[this.#ledger * count + which] as number);
      low += (ledgers.low[ledger * count + which] as number) - (ledgers.low[this.#ledger * count + which] as number);
      for (const message of news) {
        high += messages.high[message * count + which] as number;
        low += messages.low[message * count + which] as number;
      }
      high |= 0;
      low |= 0;
      if (which === 0 || high < bestHigh || (high === bestHigh && low < bestLow)) {
        bestHigh = high;
        bestLow = low;
      }
    }
    return this.#seen.add(bestHigh, bestLow);
  }

  #save(
    parent: number,
    cause: number,
    members: readonly number[],
    network: readonly number[],
    news: readonly number[],
    ledger: number,
    proposed: number,
    changed: number,
  ): void {
    const next = this.#next;
    next.push(this.#parents.length);
    this.#parents.push(parent);
    this.#causes.push(cause);
    next.push(ledger);
    next.push(proposed);
    next.push(changed);
    for (const member of members) next.push(member);
    next.push(network.length + news.length);
    for (const message of network) next.push(message);
    for (const message of news) next.push(message);
    this.#nextStates++;
  }

  #cause(at: number, input: number): number {
    return (input >= 0 ? 2 * input : -2 * input - 1) * 8 + at;
  }

  #stop(rule: string, at: number, input: number): never {
    this.#parents.push(this.#number);
    this.#causes.push(this.#cause(at, input));
    throw new Broken(rule);
  }

  /** How the last state came about, from the start. */
  #path(): string[] {
    const causes: number[] = [];
    for (let state = this.#parents.length - 1; state > 0; state = this.#parents.get(state))
      causes.push(this.#causes.get(state));
    return causes.reverse().map((cause) => this.#describe(cause % 8, Math.floor(cause / 8)));
  }

  #describe(at: number, key: number): string {
    const name = must(NAMES[at], 'member');
    if (key % 2 === 0) return `${name} receives ${describeMessage(this.#space.message(key / 2))}`;
    const { kind, ...rest } = this.#space.acts.things[(key + 1) / 2 - 1] as Act;
    return `${name}: ${kind}${Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : ''}`;
  }
}

const NONE: number[] = [];

function describeMessage({ kind, from, to, ...rest }: Message): string {
  return `${kind} of ${from}: ${JSON.stringify(rest)}`.replaceAll('"', '');
}
