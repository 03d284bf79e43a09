/**
 * The inside of the core, for the model: copied, brought into a normal form, and written down. `scripts/model.mjs` loads
 * `src/raft` with its private fields named `opened_…` instead of `#…`; nothing of that is in the product.
 *
 * N1. The text of two cores is equal only if they answer every further input alike. A field that nobody thought of is part of the
 *     text: it can cost states, never hide one.
 * N2. Time is abstract. Every clock reads 0 after a step; a timer elapses when the explorer says so, whatever it read.
 */
import type { Progress } from '../../src/raft/progress.ts';
import type { Raft } from '../../src/raft/raft.ts';
import type { LeaderRole, State } from '../../src/raft/state.ts';
import type { Entry } from '../../src/raft/types.ts';

/** As long ago as a timer can look back. */
const LONG_AGO = -1_000_000;

interface OpenRaft {
  readonly opened_state: State;
}
interface OpenDurability {
  opened_nextSequence: number;
  opened_durableSequence: number;
  readonly opened_pending: { sequence: number }[];
}
interface OpenInflight {
  opened_head: number;
  opened_count: number;
  opened_lastIndexes: number[];
  opened_sizes: number[];
}
interface OpenProgress {
  opened_progressTick: number;
  opened_heardTick: number;
  opened_departure: { index: number; tick: number; toldMs: number | null } | null;
  readonly opened_inflight: OpenInflight;
}

export function stateOf(core: Raft): State {
  const state = (core as unknown as OpenRaft).opened_state;
  if (state === undefined) throw new Error('src/raft was loaded closed: run npm run model');
  return state;
}

/** The log as the core has it in memory: index and term of each entry. */
export function termsOf(core: Raft): number[] {
  const { log } = stateOf(core);
  const terms: number[] = [];
  for (let index = 1; index <= log.lastIndex; index++) terms.push(log.termAt(index as Entry['index']) ?? -1);
  return terms;
}

const prototype = {
  get configuration(): unknown {
    return (this as unknown as State).membership.current.configuration;
  },
};

/** A deep copy. Entries and messages are shared: nobody changes them. What was one object stays one. */
export function copy<T>(value: T, seen = new Map<object, object>()): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const known = seen.get(value);
  if (known !== undefined) return known as T;
  if ('payload' in value || 'from' in value) return value;
  if (Array.isArray(value)) {
    const made: unknown[] = [];
    seen.set(value, made);
    for (const element of value) made.push(copy(element, seen));
    return made as T;
  }
  if (value instanceof Map) {
    const made = new Map<unknown, unknown>();
    seen.set(value, made);
    for (const [key, element] of value) made.set(key, copy(element, seen));
    return made as T;
  }
  const isState = 'membership' in value && 'electionTicks' in value;
  const made = Object.create(isState ? prototype : Object.getPrototypeOf(value)) as Record<string, unknown>;
  seen.set(value, made);
  for (const key of Object.keys(value)) {
    if (isState && key === 'configuration') continue;
    made[key] = copy((value as Record<string, unknown>)[key], seen);
  }
  return made as T;
}

/** Brings the core into its normal form; returns by how much the sequences of persist effects fell. */
export function normalise(core: Raft): number {
  const state = stateOf(core);
  state.tick = 0;
  state.nowMs = 0;
  state.heardTick = 0;
  // No lease of votes: whoever is asked may vote, which allows more than any clock would.
  state.electionElapsed = state.electionTicks;
  state.electionTimeout = 2 * state.electionTicks;
  state.suspicion = null;
  // It is for those who ask whether the member catches up, and steers nothing.
  state.knownCommitIndex = state.commitIndex;
  const { role } = state;
  const durability = state.durability as unknown as OpenDurability;
  const fall = durability.opened_durableSequence;
  durability.opened_nextSequence -= fall;
  durability.opened_durableSequence = 0;
  for (const pending of durability.opened_pending) pending.sequence -= fall;
  if (role.kind === 'candidate') {
    (role as { selfVoteSequence: number }).selfVoteSequence = Math.max(0, role.selfVoteSequence - fall);
  }
  if (role.kind === 'leader') normaliseLeader(role);
  if (state.transfer !== null) (state.transfer as { startTick: number }).startTick = 0;
  return fall;
}

function normaliseLeader(role: LeaderRole): void {
  role.heartbeatElapsed = 0;
  role.leaseFloorMs = Number.NEGATIVE_INFINITY;
  for (const peer of role.peers) {
    const progress = peer as unknown as OpenProgress;
    // Whatever waits has waited long enough to be sent again; whoever is silent may be heard at any moment.
    progress.opened_progressTick = LONG_AGO;
    progress.opened_heardTick = 0;
    if (progress.opened_departure !== null) progress.opened_departure.tick = 0;
    const inflight = progress.opened_inflight;
    const size = inflight.opened_lastIndexes.length;
    const turned = (ring: readonly number[]): number[] =>
      ring.map((_, at) => (at < inflight.opened_count ? (ring[(inflight.opened_head + at) % size] ?? 0) : 0));
    inflight.opened_lastIndexes = turned(inflight.opened_lastIndexes);
    inflight.opened_sizes = turned(inflight.opened_sizes);
    inflight.opened_head = 0;
  }
}

/** The next tick is the one at which a heartbeat is due. */
export function heartbeatDue(core: Raft): void {
  const { role, heartbeatTicks } = stateOf(core);
  if (role.kind === 'leader') role.heartbeatElapsed = heartbeatTicks - 1;
}

/** The next tick is the one at which the election timer runs out. */
export function electionDue(core: Raft): void {
  const state = stateOf(core);
  state.electionElapsed = state.electionTimeout;
}

/** Nobody was heard for an election timeout. */
export function everybodySilent(core: Raft): void {
  const { role } = stateOf(core);
  const peers: readonly Progress[] = role.kind === 'leader' ? role.peers : [];
  for (const peer of peers) (peer as unknown as OpenProgress).opened_heardTick = LONG_AGO;
}

/**
 * Left out of the text: what never changes, what was handed on when the step ended, and second names of one object (the
 * leader that the invariants remember is the role of the step before: that of this one, or none).
 */
const UNWRITTEN = new Set([
  ...['electionTicks', 'heartbeatTicks', 'leaseTicks', 'leaseMs', 'limits', 'random', 'trace', 'output', 'peerById'],
  ...['configuration', 'opened_leader', 'opened_readsMax', 'opened_messagesMax', 'opened_bytesMax'],
]);

/** Where order says nothing: names of members, followers of a leader, messages that leave together. */
function isSet(list: readonly unknown[], names: ReadonlyMap<string, string>): boolean {
  const first = list[0];
  if (typeof first === 'string') return names.has(first);
  return typeof first === 'object' && first !== null && ('id' in first || 'from' in first);
}

/** `value` as text, with members renamed. */
export function write(value: unknown, names: ReadonlyMap<string, string>): string {
  switch (typeof value) {
    case 'string':
      return names.get(value) ?? value;
    case 'object':
      break;
    case 'function':
      return '';
    default:
      return String(value);
  }
  if (value === null) return '-';
  if (value instanceof Uint8Array) return `<${value.join(' ')}>`;
  if (Array.isArray(value)) {
    const parts = value.map((element) => write(element, names));
    return `[${(isSet(value, names) ? parts.sort() : parts).join(',')}]`;
  }
  if (value instanceof Map) {
    const parts = [...value].map(([key, element]) => `${write(key, names)}:${write(element, names)}`);
    return `(${parts.sort().join(',')})`;
  }
  let text = '{';
  for (const key of Object.keys(value)) {
    // The state's configuration is a second name; those of other objects are their own.
    if (UNWRITTEN.has(key) && (key !== 'configuration' || 'membership' in value)) continue;
    text += `${key}=${write((value as Record<string, unknown>)[key], names)};`;
  }
  return `${text}}`;
}
