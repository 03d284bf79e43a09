/**
 * Histories that contradict each other: a sub-step that was told again with another result (V2). The first result stands until
 * RECONCILE decides by the vector clocks of the reports; if none of them knows all the others, nothing decides.
 *
 * R1. Numbers of a sub-step's rivals are 1 to at most RIVALS_MAX without a gap; number 0, where there is one, has the clock of the
 *     report that stands. All results are different.
 * R2. Where a rival has to go, it is one without which the decision is the same: see `placeFor`.
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
export type Candidate = Pick<RivalRow, 'result' | 'participant' | 'vectorClock'>;

export function recordRivals(state: MachineState, run: string, told: ToldReport): void {
  const { rival } = state.tables.domain;
  const { vectorClock, participant } = told;
  for (const id of told.fresh.keys()) {
    if (vectorClock.length > 0) rival.put(rivalKey(run, id, 0), { id, result: '', participant, vectorClock });
  }
  for (const { id, result } of told.subSteps) {
    const standing = must(state.tables.subStep.get(subStepKey(run, id)), 'a sub-step that was told');
    if (standing.result !== result) addRival(state, run, { id, result, participant, vectorClock });
  }
}

function addRival(state: MachineState, run: string, told: RivalRow): void {
  const { rival } = state.tables.domain;
  const rivals = rivalsOf(state, run, told.id);
  const same = rivals.findIndex(({ result }) => result === told.result);
  if (same >= 0) {
    const known = must(rivals[same], 'a rival');
    const vectorClock = mergeClocks(known.vectorClock, told.vectorClock);
    if (compareClocks(vectorClock, known.vectorClock) === 'equal') return;
    rival.put(rivalKey(run, told.id, same + 1), { ...known, vectorClock });
    return;
  }
  const number = rivals.length < RIVALS_MAX ? rivals.length + 1 : placeFor(candidates(state, run, told.id), told);
  if (number > 0) rival.put(rivalKey(run, told.id, number), told);
}

/**
 * R2: the number whose rival may go for `told`, or 0 when `told` itself may. With a winner W among `all` (number 0 first): what W
 * knows adds nothing; what W does not know must stay, beside W. Without one: only what knows all the others would decide.
 */
function placeFor(all: readonly Candidate[], told: Candidate): number {
  const winner = winnerOf(all);
  if (winner === null) return winnerOf([...all, told]) === told ? RIVALS_MAX : 0;
  const order = compareClocks(told.vectorClock, winner.vectorClock);
  if (order === 'before') return 0;
  return all[RIVALS_MAX] === winner ? RIVALS_MAX - 1 : RIVALS_MAX;
}

/** Of reports with different results, the one that knows all the others; null: they are concurrent. */
export function winnerOf(all: readonly Candidate[]): Candidate | null {
  const knowsAll = (one: Candidate): boolean =>
    all.every((other) => other === one || compareClocks(other.vectorClock, one.vectorClock) === 'before');
  return all.find(knowsAll) ?? null;
}

/** What was told of sub-step `id`: first what stands, then its rivals. */
export function candidates(state: MachineState, run: string, id: string): readonly Candidate[] {
  const standing = must(state.tables.subStep.get(subStepKey(run, id)), 'a sub-step that has rivals');
  const first = state.tables.domain.rival.get(rivalKey(run, id, 0));
  const { participant, vectorClock } = first ?? { participant: '', vectorClock: [] };
  return [{ result: standing.result, participant, vectorClock }, ...rivalsOf(state, run, id)];
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
  tables.domain.rival.put(rivalKey(run, id, 0), { id, result: '', participant, vectorClock });
  for (let number = 1; number <= RIVALS_MAX; number++) tables.domain.rival.delete(rivalKey(run, id, number));
}

/** Drops up to `limit` contradictions and clocks of a run that is rolled back. Returns how many there were. */
export function dropRivals(state: MachineState, run: string, limit: number): number {
  return state.tables.domain.rival.deleteRange(under(run), after(run), limit);
}
