/** Which member to ask: the leader while it is known, otherwise whoever answers (a follower passes mutations on). */
import { type ClusterFacts, Endpoints } from './endpoints.ts';
import type { Failure } from './retry.ts';

/** A member that could not be reached is left alone for this long, doubling up to the maximum, milliseconds. */
const PENALTY_BASE_MS = 100;
const PENALTY_MAX_MS = 2_000;
/**
 * After a leader was lost, a follower that still believes in it would pass a mutation on to nowhere: until there is a
 * new one, or this time is over (it may be only us who cannot reach the leader), nothing is sent, milliseconds.
 */
const ELECTION_PATIENCE_MS = 2_000;
/** Shortest time between two searches for the leader, milliseconds. */
const SEARCH_PAUSE_MS = 50;
/** The leader is asked who the members are this often, milliseconds; a lost leader makes it sooner. */
const LEARN_MS = 10_000;

interface Penalty {
  readonly untilMs: number;
  readonly lengthMs: number;
}

export interface RouterDeps {
  /** Asks one member who leads and who the members are. Rejects when unreachable. */
  readonly ask: (address: string) => Promise<ClusterFacts>;
  readonly nowMs: () => number;
  readonly random: () => number;
}

export class Router {
  readonly #endpoints: Endpoints;
  readonly #deps: RouterDeps;
  readonly #penalties = new Map<string, Penalty>();
  readonly #checking = new Set<string>();
  #leader: string | null = null;
  #next: number;
  #learnedAtMs: number;
  #search: Promise<void> | null = null;
  #searchedAtMs = Number.NEGATIVE_INFINITY;
  /** The leader that was lost last, and when for the first time since it last answered. */
  #lost: { readonly address: string; readonly atMs: number } | null = null;

  constructor(endpoints: readonly string[], deps: RouterDeps) {
    this.#endpoints = new Endpoints(endpoints);
    this.#deps = deps;
    this.#learnedAtMs = deps.nowMs();
    this.#next = Math.floor(deps.random() * endpoints.length);
  }

  /** The address to ask next; null while a new leader is being elected: wait a little, then pick again. */
  async pick(): Promise<string | null> {
    if (this.#leader === null) await this.#findLeader();
    if (this.#leader !== null) {
      this.#learn(this.#leader);
      return this.#leader;
    }
    const electing = this.#lost !== null && this.#deps.nowMs() - this.#lost.atMs < ELECTION_PATIENCE_MS;
    return electing ? null : this.#anyone();
  }

  /** For watches, which every member can serve. */
  async pickAny(): Promise<string> {
    if (this.#leader === null) await this.#findLeader();
    return this.#leader ?? this.#anyone();
  }

  /** For reads that every member answers by itself: one after the other. */
  pickInTurn(): string {
    if (this.#leader !== null) this.#learn(this.#leader);
    return this.#anyone();
  }

  /** Somebody, in turn, best one that is not known to be in trouble. */
  #anyone(): string {
    const now = this.#deps.nowMs();
    let best = '';
    let bestUntilMs = Number.POSITIVE_INFINITY;
    const endpoints = this.#endpoints.list();
    for (let i = 0; i < endpoints.length; i++) {
      const address = endpoints[(this.#next + i) % endpoints.length] ?? '';
      const untilMs = Math.max(now, this.#penalties.get(address)?.untilMs ?? 0);
      if (untilMs < bestUntilMs) {
        best = address;
        bestUntilMs = untilMs;
      }
    }
    this.#next = (endpoints.indexOf(best) + 1) % endpoints.length;
    return best;
  }

  succeeded(address: string): void {
    this.#penalties.delete(address);
    if (this.#lost?.address === address) this.#lost = null;
  }

  failed(address: string, failure: Failure): void {
    if (failure.kind === 'unknown' && failure.answered) {
      if (this.#leader === address) this.#leader = null;
      return;
    }
    if (failure.silent === true) {
      this.#check(address);
      return;
    }
    switch (failure.error.reason) {
      case 'UNAVAILABLE':
      case 'SHUTTING_DOWN':
      case 'PARTITION_ERROR':
      case 'MEMBER_REMOVED':
        this.#penalise(address);
        return;
      case 'NOT_LEADER': {
        const named = failure.kind === 'refused' ? failure.leaderAddress : null;
        this.#follow(named === address ? null : named);
        return;
      }
      case 'NO_QUORUM':
        if (this.#leader === address) this.#leader = null;
        return;
      default:
        return;
    }
  }

  /** Asks all endpoints; resolves as soon as a leader is known or all were asked. Rejects when nobody answered. */
  firstContact(): Promise<void> {
    return this.#searchAmong(this.#endpoints.seeds());
  }

  #penalise(address: string): void {
    const now = this.#deps.nowMs();
    if (this.#leader === address) {
      this.#leader = null;
      if (this.#lost?.address !== address) this.#lost = { address, atMs: now };
    }
    const before = this.#penalties.get(address);
    // Many calls that fail together are one failure.
    if (before !== undefined && before.untilMs > now) return;
    const lengthMs = Math.min(PENALTY_MAX_MS, (before?.lengthMs ?? PENALTY_BASE_MS / 2) * 2);
    this.#penalties.set(address, { lengthMs, untilMs: now + lengthMs });
  }

  #follow(leader: string | null): void {
    // A member that was just found dead is often still named as the leader by the others.
    const penalised = leader !== null && (this.#penalties.get(leader)?.untilMs ?? 0) > this.#deps.nowMs();
    this.#leader = penalised ? null : leader;
  }

  async #ask(address: string): Promise<string | null> {
    try {
      const facts = await this.#deps.ask(address);
      this.succeeded(address);
      this.#learnedAtMs = this.#deps.nowMs();
      this.#endpoints.learn(address, facts);
      const leader = facts.removed ? null : facts.leaderAddress;
      if (leader !== null && this.#leader === null) this.#follow(leader);
      return leader;
    } catch (error) {
      this.#penalise(address);
      throw error;
    }
  }

  /** Whether it is alive, asked once at a time: it is penalised when it does not answer. */
  #check(address: string): void {
    if (this.#checking.has(address)) return;
    this.#checking.add(address);
    this.#ask(address)
      .catch(() => undefined)
      .finally(() => this.#checking.delete(address));
  }

  /** Keeps up with members that come and go while the leader stays. */
  #learn(leader: string): void {
    const now = this.#deps.nowMs();
    if (now - this.#learnedAtMs < LEARN_MS) return;
    this.#learnedAtMs = now;
    this.#ask(leader).catch(() => undefined);
  }

  /** One search at a time, and not too many. */
  async #findLeader(): Promise<void> {
    if (this.#search !== null) return this.#search;
    const now = this.#deps.nowMs();
    if (now - this.#searchedAtMs < SEARCH_PAUSE_MS) return;
    this.#searchedAtMs = now;
    const endpoints = this.#endpoints.list();
    const well = endpoints.filter((address) => (this.#penalties.get(address)?.untilMs ?? 0) <= now);
    this.#search = this.#searchAmong(well).catch(() => undefined);
    await this.#search;
    this.#search = null;
  }

  async #searchAmong(addresses: readonly string[]): Promise<void> {
    let answered = false;
    const asked = addresses.map(async (address) => {
      await this.#ask(address);
      answered = true;
      if (this.#leader === null) throw new Error(`${address} knows no leader`);
    });
    await Promise.any(asked).catch((error: unknown) => {
      if (!answered) throw error;
    });
  }
}
