/**
 * Histories that contradict each other: a sub-step that was told again with another result (V2). The first result stands until
 * RECONCILE decides by the vector clocks of the reports; if none of them knows all the others, nothing decides.
 *
 * R1. Numbers of a sub-step's rivals are 1 to at most RIVALS_MAX without a gap; number 0, where there is one, has the clock of the
 *     report that stands. All results are different.
 * R2. When the places are full, the last stands for several: it has their merged clock and cannot win. So what the rows decide is
 *     what all reports together would; at worst nothing is decided, where one has exactly the merged clock.
 */
import { must } from '../../types/assert.ts';
import { RIVALS_MAX } from '../../types/limits.ts';
import type { RivalRow } from '../domain-tables.ts';
import { after, padded, subStepKey, under } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { SubStepReport, VectorClock } from '../types.ts';
import { compareClocks, mergeClocks } from '../vector-clock.ts';

/** What a progress report says beyond what the run's row takes, checked. */
export interface ToldReport {
  readonly subSteps: readonly SubStepReport[];
  /** Ids of them that this report put on record. */
  readonly fresh: ReadonlyMap<string, string>;
  /** Sorted. */
  readonly vectorClock: VectorClock;
  readonly participant: string;
  readonly checkpointGiven: boolean;
  readonly checkpointCrc: number | null;
}

const rivalKey = (run: string, id: string, number: number): string => `${run} ${padded(number)} ${id}`;

/** One of the reports of a sub-step. */
export type Candidate = Omit<RivalRow, 'id'>;

export function recordRivals(state: MachineState, run: string, told: ToldReport): void {
  const { vectorClock, participant } = told;
  for (const id of told.fresh.keys()) {
    if (vectorClock.length > 0) putClock(state, run, id, participant, vectorClock);
  }
  for (const { id, result } of told.subSteps) {
    const standing = must(state.tables.subStep.get(subStepKey(run, id)), 'a sub-step that was told');
    if (standing.result !== result) addRival(state, run, { id, result, participant, vectorClock, several: false });
    else if (vectorClock.length > 0 && !told.fresh.has(id)) putClock(state, run, id, participant, vectorClock);
  }
}

/** Merges a clock into that of the report that stands. */
function putClock(state: MachineState, run: string, id: string, participant: string, told: VectorClock): void {
  const { rival } = state.tables.domain;
  const key = rivalKey(run, id, 0);
  const vectorClock = mergeClocks(rival.get(key)?.vectorClock ?? [], told);
  rival.put(key, { id, result: '', participant, vectorClock, several: false });
}

function addRival(state: MachineState, run: string, told: RivalRow): void {
  const { rival } = state.tables.domain;
  const rivals = rivalsOf(state, run, told.id);
  const same = rivals.findIndex(({ result, several }) => !several && result === told.result);
  const known = rivals[same];
  if (known !== undefined) {
    const vectorClock = mergeClocks(known.vectorClock, told.vectorClock);
    if (vectorClock.length > 0) rival.put(rivalKey(run, told.id, same + 1), { ...known, vectorClock });
    return;
  }
  if (rivals.length < RIVALS_MAX) {
    rival.put(rivalKey(run, told.id, rivals.length + 1), told);
    return;
  }
  const last = lastOf(candidates(state, run, told.id), told);
  if (last !== null) rival.put(rivalKey(run, told.id, RIVALS_MAX), { ...told, ...last });
}

/** R2: what the last place holds when `told` comes to those that are there, number 0 first; null: what it held. */
function lastOf(all: readonly Candidate[], told: Candidate): Candidate | null {
  const winner = winnerOf(all);
  if (winner !== null && compareClocks(told.vectorClock, winner.vectorClock) === 'before') return null;
  if (winnerOf([...all, told]) === told) return told;
  const last = must(all[RIVALS_MAX], 'a full set of rivals');
  const vectorClock = mergeClocks(last.vectorClock, told.vectorClock);
  return { result: '', participant: told.participant, vectorClock, several: true };
}

/** Of reports with different results, the one that knows all the others; null: they are concurrent. */
export function winnerOf(all: readonly Candidate[]): Candidate | null {
  const knowsAll = (one: Candidate): boolean =>
    all.every((other) => other === one || compareClocks(other.vectorClock, one.vectorClock) === 'before');
  return all.find((one) => !one.several && knowsAll(one)) ?? null;
}

/** What was told of sub-step `id`: first what stands, then its rivals. */
export function candidates(state: MachineState, run: string, id: string): readonly Candidate[] {
  const standing = must(state.tables.subStep.get(subStepKey(run, id)), 'a sub-step that has rivals');
  const first = state.tables.domain.rival.get(rivalKey(run, id, 0));
  const { participant, vectorClock } = first ?? { participant: '', vectorClock: [] };
  return [{ result: standing.result, participant, vectorClock, several: false }, ...rivalsOf(state, run, id)];
}

function rivalsOf(state: MachineState, run: string, id: string): readonly RivalRow[] {
  const found: RivalRow[] = [];
  for (let number = 1; number <= RIVALS_MAX; number++) {
    const row = state.tables.domain.rival.get(rivalKey(run, id, number));
    if (row === null) break;
    found.push(row);
  }
  return found;
}

/** Ids of the first `limit` sub-steps that have rivals. */
export function contested(state: MachineState, run: string, limit: number): readonly string[] {
  const first = `${run} ${padded(1)}`;
  return state.tables.domain.rival.range(under(first), after(first), limit).map(([, { id }]) => id);
}

/** `winner` stands from now on, and has no rivals. */
export function settleRivals(state: MachineState, run: string, id: string, winner: Candidate): void {
  const { tables } = state;
  const key = subStepKey(run, id);
  const standing = must(tables.subStep.get(key), 'a sub-step that has rivals');
  if (standing.result !== winner.result) tables.subStep.put(key, { ...standing, result: winner.result });
  const { participant, vectorClock } = winner;
  tables.domain.rival.put(rivalKey(run, id, 0), { id, result: '', participant, vectorClock, several: false });
  for (let number = 1; number <= RIVALS_MAX; number++) tables.domain.rival.delete(rivalKey(run, id, number));
}

/** Drops up to `limit` contradictions and clocks of a run that is rolled back. Returns how many there were. */
export function dropRivals(state: MachineState, run: string, limit: number): number {
  return state.tables.domain.rival.deleteRange(under(run), after(run), limit);
}
