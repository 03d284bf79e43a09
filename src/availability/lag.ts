/**
 * Who is slow (A1): pure decisions over the windows of `node/ack-times.ts`.
 *
 * LG1  What a member is compared with is the lower median of the voters' p95: one slow member of three, or two of five, cannot
 *      lift it, as they would in a pool of all samples. When all are slow it rises with them, and nobody is marked.
 * LG2  No judgement without at least `samplesMin` samples of the member and of a majority of the voters.
 * LG3  Slow is above `factor` × the median and above `floorMs`, for `holdMs` without a break. Keeping up again is at most
 *      `returnFactor` / `factor` of that, for `returnMs`; or, where too few samples come for a judgement, their median below the
 *      limit for `quietMs`: a cluster that writes little never gives enough.
 * LG4  A member is marked only if healthy voters that stay are at least floor(N/2)+1 of the N voters, and no other is marked.
 *      The leader never marks itself: it hands over, and the next one judges.
 */
import type { AckWindow } from '../node/ack-times.ts';
import type { MemberId } from '../types/ids.ts';

export interface LagRules {
  readonly windowMs: number;
  readonly samplesMin: number;
  readonly factor: number;
  readonly returnFactor: number;
  readonly floorMs: number;
  /** A leader is slow only above this: what it measures includes its own work for clients, which a hand-over would interrupt for nothing. */
  readonly leaderFloorMs: number;
  readonly holdMs: number;
  readonly returnMs: number;
  readonly quietMs: number;
  /** Between two tries of a slow leader to hand over. */
  readonly handOverMs: number;
}

export const LAG_RULES: LagRules = {
  windowMs: 30_000,
  samplesMin: 20,
  factor: 2,
  returnFactor: 1.5,
  floorMs: 20,
  leaderFloorMs: 500,
  holdMs: 5_000,
  returnMs: 15_000,
  quietMs: 60_000,
  handOverMs: 60_000,
};

/** A voter, or a learner that is marked. */
export interface Measured {
  readonly member: MemberId;
  readonly voter: boolean;
  readonly leader: boolean;
  readonly lagging: boolean;
  /** Heard of lately, not recovering, not isolated, and not acknowledging before its fsync. */
  readonly healthy: boolean;
  readonly window: AckWindow;
}

export type Pace = 'slow' | 'between' | 'fine' | 'unknown';

export type LagVerdict =
  | { readonly kind: 'mark'; readonly member: MemberId; readonly detail: string }
  | { readonly kind: 'clear'; readonly member: MemberId; readonly detail: string }
  | { readonly kind: 'handOver'; readonly to: MemberId };

/** LG1, LG2. Milliseconds; null: too little is known. */
export function referenceMs(measured: readonly Measured[], { samplesMin }: LagRules): number | null {
  const voters = measured.filter(({ voter }) => voter);
  const known = voters
    .filter(({ window }) => window.count >= samplesMin)
    .map(({ window }) => window.p95Ms ?? 0)
    .sort((x, y) => x - y);
  if (known.length < Math.floor(voters.length / 2) + 1) return null;
  return known[Math.floor((known.length - 1) / 2)] ?? null;
}

/** LG3. An append that waits for longer than `holdMs` is slow whatever was before: a disk that hangs gives no samples. */
export function paceOf({ count, p95Ms, pendingMs }: AckWindow, reference: number | null, rules: LagRules): Pace {
  if (reference === null) return 'unknown';
  const { factor, returnFactor, floorMs, holdMs, samplesMin } = rules;
  const limitMs = Math.max(floorMs, factor * reference);
  if (pendingMs > Math.max(holdMs, limitMs)) return 'slow';
  if (p95Ms === null || count < samplesMin) return 'unknown';
  if (p95Ms > limitMs) return 'slow';
  return p95Ms <= (limitMs * returnFactor) / factor ? 'fine' : 'between';
}

/** LG4 */
export function mayMark(measured: readonly Measured[], member: MemberId): boolean {
  const voters = measured.filter(({ voter }) => voter);
  const left = voters.filter((one) => one.member !== member && one.healthy && !one.lagging);
  return left.length >= Math.floor(voters.length / 2) + 1;
}

/** Follows how long each member has been slow or fine. Times are monotonic milliseconds. */
export class LagWatch {
  readonly #rules: LagRules;
  readonly #slow = new Map<MemberId, number>();
  readonly #fine = new Map<MemberId, number>();
  /** Since when nothing speaks against the member. */
  readonly #quiet = new Map<MemberId, number>();
  #handedOverMs = Number.NEGATIVE_INFINITY;

  constructor(rules: LagRules = LAG_RULES) {
    this.#rules = rules;
  }

  /** What is to be done now; null: nothing. */
  judge(measured: readonly Measured[], nowMs: number): LagVerdict | null {
    const reference = referenceMs(measured, this.#rules);
    const present = new Set(measured.map(({ member }) => member));
    for (const since of [this.#slow, this.#fine, this.#quiet]) {
      for (const member of since.keys()) if (!present.has(member)) since.delete(member);
    }
    for (const one of measured) this.#note(one, reference, nowMs);
    const marked = measured.find(({ lagging }) => lagging);
    if (marked !== undefined) return this.#clear(marked, nowMs);
    return this.#mark(measured, reference ?? 0, nowMs);
  }

  #note({ member, window }: Measured, reference: number | null, nowMs: number): void {
    const pace = paceOf(window, reference, this.#rules);
    keepSince(this.#slow, member, pace === 'slow', nowMs);
    keepSince(this.#fine, member, pace === 'fine', nowMs);
    keepSince(this.#quiet, member, !isAgainst(window, pace, reference, this.#rules), nowMs);
  }

  #clear({ member, window }: Measured, nowMs: number): LagVerdict | null {
    const { returnMs, quietMs } = this.#rules;
    if (!lasts(this.#fine, member, nowMs, returnMs) && !lasts(this.#quiet, member, nowMs, quietMs)) return null;
    return { kind: 'clear', member, detail: `p95 ${shown(window.p95Ms)} of ${window.count} fsyncs` };
  }

  #mark(measured: readonly Measured[], reference: number, nowMs: number): LagVerdict | null {
    const { holdMs } = this.#rules;
    const slow = measured
      .filter(({ member, voter }) => voter && lasts(this.#slow, member, nowMs, holdMs))
      .sort((x, y) => weight(y.window) - weight(x.window) || (x.member < y.member ? -1 : 1));
    const worst = slow.find(({ leader, member }) => leader || mayMark(measured, member));
    if (worst === undefined) return null;
    if (worst.leader) {
      return weight(worst.window) < this.#rules.leaderFloorMs ? null : this.#handOver(measured, nowMs);
    }
    const { member, window } = worst;
    const detail = `p95 ${shown(window.p95Ms)} of ${window.count} fsyncs, ${shown(window.pendingMs)} waiting; median of the voters ${shown(reference)}`;
    return { kind: 'mark', member, detail };
  }

  #handOver(measured: readonly Measured[], nowMs: number): LagVerdict | null {
    if (nowMs - this.#handedOverMs < this.#rules.handOverMs) return null;
    const better = measured
      .filter(({ member, voter, leader, healthy }) => voter && !leader && healthy && this.#fine.has(member))
      .sort((x, y) => weight(x.window) - weight(y.window) || (x.member < y.member ? -1 : 1));
    const [best] = better;
    if (best === undefined) return null;
    this.#handedOverMs = nowMs;
    return { kind: 'handOver', to: best.member };
  }
}

/** Of few samples the highest are no measure: one hiccup in a quiet half minute would be. Half of them are. */
function isAgainst({ p50Ms, pendingMs }: AckWindow, pace: Pace, reference: number | null, rules: LagRules): boolean {
  if (pace !== 'unknown') return pace !== 'fine';
  const limitMs = Math.max(rules.floorMs, rules.factor * (reference ?? 0));
  return (p50Ms ?? 0) > limitMs || pendingMs > Math.max(rules.holdMs, limitMs);
}

function weight({ p95Ms, pendingMs }: AckWindow): number {
  return Math.max(p95Ms ?? 0, pendingMs);
}

function shown(ms: number | null): string {
  return ms === null ? 'unknown' : `${ms.toFixed(1)} ms`;
}

function keepSince(since: Map<MemberId, number>, member: MemberId, holds: boolean, nowMs: number): void {
  if (!holds) since.delete(member);
  else if (!since.has(member)) since.set(member, nowMs);
}

function lasts(since: ReadonlyMap<MemberId, number>, member: MemberId, nowMs: number, forMs: number): boolean {
  const from = since.get(member);
  return from !== undefined && nowMs - from >= forMs;
}
