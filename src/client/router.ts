/** Which member to ask: the leader while it is known, otherwise whoever answers (a follower passes mutations on). */
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

interface Penalty {
  readonly untilMs: number;
  readonly lengthMs: number;
}

export interface RouterDeps {
  /** Asks one member who leads: the leader's client address, or null when it does not know. Rejects when unreachable. */
  readonly askLeader: (address: string) => Promise<string | null>;
  readonly nowMs: () => number;
  readonly random: () => number;
}

export class Router {
  readonly #endpoints: readonly string[];
  readonly #deps: RouterDeps;
  readonly #penalties = new Map<string, Penalty>();
  #leader: string | null = null;
  #next: number;
  #search: Promise<void> | null = null;
  #searchedAtMs = Number.NEGATIVE_INFINITY;
  /** The leader that was lost last, and when for the first time since it last answered. */
  #lost: { readonly address: string; readonly atMs: number } | null = null;

  constructor(endpoints: readonly string[], deps: RouterDeps) {
    this.#endpoints = endpoints;
    this.#deps = deps;
    this.#next = Math.floor(deps.random() * endpoints.length);
  }

  /** The address to ask next; null while a new leader is being elected: wait a little, then pick again. */
  async pick(): Promise<string | null> {
    if (this.#leader === null) await this.#findLeader();
    if (this.#leader !== null) return this.#leader;
    const electing = this.#lost !== null && this.#deps.nowMs() - this.#lost.atMs < ELECTION_PATIENCE_MS;
    return electing ? null : this.#anyone();
  }

  /** For watches, which every member can serve. */
  async pickAny(): Promise<string> {
    if (this.#leader === null) await this.#findLeader();
    return this.#leader ?? this.#anyone();
  }

  /** Somebody, in turn, best one that is not known to be in trouble. */
  #anyone(): string {
    const now = this.#deps.nowMs();
    let best = '';
    let bestUntilMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#endpoints.length; i++) {
      const address = this.#endpoints[(this.#next + i) % this.#endpoints.length] ?? '';
      const untilMs = Math.max(now, this.#penalties.get(address)?.untilMs ?? 0);
      if (untilMs < bestUntilMs) {
        best = address;
        bestUntilMs = untilMs;
      }
    }
    this.#next = (this.#endpoints.indexOf(best) + 1) % this.#endpoints.length;
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
    switch (failure.error.reason) {
      case 'UNAVAILABLE':
      case 'SHUTTING_DOWN':
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
    return this.#searchAmong(this.#endpoints);
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
      const leader = await this.#deps.askLeader(address);
      this.succeeded(address);
      if (leader !== null && this.#leader === null) this.#follow(leader);
      return leader;
    } catch (error) {
      this.#penalise(address);
      throw error;
    }
  }

  /** One search at a time, and not too many. */
  async #findLeader(): Promise<void> {
    if (this.#search !== null) return this.#search;
    const now = this.#deps.nowMs();
    if (now - this.#searchedAtMs < SEARCH_PAUSE_MS) return;
    this.#searchedAtMs = now;
    const well = this.#endpoints.filter((address) => (this.#penalties.get(address)?.untilMs ?? 0) <= now);
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
