/**
 * The service levels of a run (X4), from its histories alone: failover within 30 s, no command accepted by two leaders, no side
 * effect twice.
 */
import type { Op } from './record/history.ts';

export const FAILOVER_MS_MAX = 30_000;

export interface Failover {
  readonly nemesis: string;
  /** When the leader was lost, or, where no majority was left, when one was there again; milliseconds since the run began. */
  readonly atMs: number;
  /** Until a write that began after that was carried out; null: none was, before the histories end. */
  readonly tookMs: number | null;
  /** The fault that took members away before that write, if one did: its own failover counts, and this one does not. */
  readonly disturbedBy?: string;
}

export interface ServiceLevels {
  readonly failovers: readonly Failover[];
  readonly failoverMsMax: number | null;
  readonly failoverMsMedian: number | null;
  /** What tells of two leaders; empty: nothing does. */
  readonly acceptedByTwo: readonly string[];
  /** Keys of effects that were carried out more than once. */
  readonly effectsTwice: readonly string[];
  readonly met: boolean;
}

/** One line of `effects-server.ndjson`. */
export interface EffectCall {
  readonly time: number;
  readonly key: string;
  readonly token: number;
  readonly attempt: number;
  readonly accepted: boolean;
  readonly kind: 'do' | 'undo';
}

/** Operations that change something. */
export const WRITES: ReadonlySet<string> = new Set([
  'write',
  'cas',
  'add',
  'append',
  'begin',
  'commit',
  'effect',
  'acquire',
  'use',
  'call',
]);

export interface LevelsInput {
  /** Of all workloads. */
  readonly ops: readonly Op[];
  readonly nemesis: readonly Op[];
  readonly effects: readonly EffectCall[];
  /** Members that said to lead a term. */
  readonly leaders: ReadonlyMap<number, ReadonlySet<string>>;
}

export function serviceLevels({ ops, nemesis, effects, leaders }: LevelsInput): ServiceLevels {
  const failovers = failoversOf(ops, nemesis);
  const undisturbed = failovers.filter(({ disturbedBy }) => disturbedBy === undefined);
  const took = undisturbed.map(({ tookMs }) => tookMs ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const acceptedByTwo = [...twoLeaders(leaders), ...forks(ops)];
  const effectsTwice = twice(effects);
  const worst = took.at(-1) ?? null;
  return {
    failovers,
    failoverMsMax: worst === Number.POSITIVE_INFINITY ? null : worst,
    failoverMsMedian: took[Math.floor((took.length - 1) / 2)] ?? null,
    acceptedByTwo,
    effectsTwice,
    met: acceptedByTwo.length === 0 && effectsTwice.length === 0 && (worst ?? 0) <= FAILOVER_MS_MAX,
  };
}

interface StartFacts {
  /** Who led when it began; null: nobody did. */
  readonly leader?: number | null;
  /** Slots that could not lead while it lasted. */
  readonly disabled?: readonly number[];
  readonly leaderAffected?: boolean;
  readonly quorum?: boolean;
  readonly beganAtNs?: number;
}

/** A fault as the nemesis noted it. */
interface Noted {
  readonly nemesis: string;
  readonly facts: StartFacts;
  readonly beganAtNs: number;
  /** null: it did not end. */
  readonly endedAtNs: number | null;
}

function faultsOf(nemesis: readonly Op[]): readonly Noted[] {
  const out = nemesis.flatMap((op, i) => {
    if (!op.f.endsWith('-start')) return [];
    const name = op.f.slice(0, -'-start'.length);
    const facts = op.value as StartFacts;
    const stop = nemesis.slice(i + 1).find(({ f }) => f === `${name}-stop`);
    return [{ nemesis: name, facts, beganAtNs: facts.beganAtNs ?? op.time, endedAtNs: stop?.time ?? null }];
  });
  return out.sort((a, b) => a.beganAtNs - b.beganAtNs);
}

/**
 * One for each fault that takes the leader, or the majority, away, and for each that takes members away before the cluster is back from
 * such a one: then the clock starts anew. What was missed before that stays missed.
 */
function failoversOf(ops: readonly Op[], nemesis: readonly Op[]): readonly Failover[] {
  const writes = carriedOut(ops);
  const faults = faultsOf(nemesis);
  const out: Failover[] = [];
  const disturbers = new Set<Noted>();
  for (const fault of faults) {
    const { leader, leaderAffected, quorum, disabled = [] } = fault.facts;
    const takes = leaderAffected === true || quorum === false || (leader === null && disabled.length > 0);
    if (!takes && !disturbers.has(fault)) continue;
    const fromNs = quorum === false ? fault.endedAtNs : fault.beganAtNs;
    if (fromNs === null) continue;
    const endNs = writes
      .filter(({ invokeNs }) => invokeNs >= fromNs)
      .reduce((min, { okNs }) => Math.min(min, okNs), Infinity);
    const untilNs = Math.min(endNs, fromNs + FAILOVER_MS_MAX * 1e6);
    const next = faults.find(
      (one) => (one.facts.disabled ?? []).length > 0 && one.beganAtNs > fromNs && one.beganAtNs < untilNs,
    );
    if (next !== undefined) disturbers.add(next);
    out.push({
      nemesis: fault.nemesis,
      atMs: Math.round(fromNs / 1e6),
      tookMs: endNs === Infinity ? null : Math.round((endNs - fromNs) / 1e6),
      ...(next === undefined ? {} : { disturbedBy: next.nemesis }),
    });
  }
  return out;
}

/** When writes were invoked that ended well, and when that was. */
function carriedOut(ops: readonly Op[]): readonly { readonly invokeNs: number; readonly okNs: number }[] {
  const open = new Map<string, number>();
  const out: { invokeNs: number; okNs: number }[] = [];
  for (const { workload, process, type, f, time } of ops) {
    if (!WRITES.has(f)) continue;
    const who = `${workload}/${process}`;
    if (type === 'invoke') open.set(who, time);
    const invokeNs = open.get(who);
    if (type === 'ok' && invokeNs !== undefined) out.push({ invokeNs, okNs: time });
  }
  return out;
}

function twoLeaders(leaders: ReadonlyMap<number, ReadonlySet<string>>): readonly string[] {
  return [...leaders]
    .filter(([, members]) => members.size > 1)
    .map(([term, members]) => `term ${term} had the leaders ${[...members].sort().join(', ')}`);
}

/** Two writes that both say to have followed the same state: two histories have gone on from there. */
function forks(ops: readonly Op[]): readonly string[] {
  const seen = new Map<string, unknown>();
  const out: string[] = [];
  for (const { workload, type, f, key, value } of ops) {
    if (type !== 'ok') continue;
    const after = claimOf(f, value);
    if (after === null) continue;
    const place = `${workload} ${key} ${f} ${after}`;
    if (seen.has(place)) out.push(`${place}: ${JSON.stringify(seen.get(place))} and ${JSON.stringify(value)}`);
    else seen.set(place, value);
  }
  return out;
}

/** What only one write can have: the state that it replaced, or the token that it was given; null: nothing. */
function claimOf(f: string, value: unknown): string | null {
  if (f === 'cas' && Array.isArray(value)) return String(value[0]);
  if (f === 'acquire' && value !== null && typeof value === 'object' && 'token' in value) return String(value.token);
  return null;
}

function twice(effects: readonly EffectCall[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { key, kind, accepted } of effects) {
    if (accepted) counts.set(`${kind} ${key}`, (counts.get(`${kind} ${key}`) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > 1).map(([what, count]) => `${what}: ${count} times`);
}
