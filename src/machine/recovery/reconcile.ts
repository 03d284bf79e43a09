/** What RECONCILE looks at before a run is rolled forward (V2). Every function says what does not fit, for people, or null. */
import { must } from '../../types/assert.ts';
import { STEP_DOCUMENTS_LENGTH_MAX, STEP_ROWS_MAX } from '../../types/limits.ts';
import { candidates, contested, settleRivals, winnerOf } from '../detection/rivals.ts';
import { documentMatches, touchedDocuments } from '../document/snapshot.ts';
import { openEffects } from '../ledger/effects.ts';
import type { MachineState } from '../state.ts';
import type { VectorClock } from '../types.ts';
import { tombstoneKey } from '../vector-clock.ts';
import { textCrc } from './checkpoint.ts';

/** V4: the agent's checkpoint is the one that the agent took the checksum of. */
export function checkpointMismatch(state: MachineState, run: string): string | null {
  const expected = state.tables.domain.watch.get(run)?.checkpointCrc ?? -1;
  if (expected === -1) return null;
  const crc = textCrc(state.tables.checkpoint.get(run)?.checkpoint ?? '');
  return crc === expected ? null : `the agent's checkpoint has CRC ${crc}, the agent gave ${expected}`;
}

/** One piece of the work: more is left unless `done`. Nothing is to be done after a mismatch. */
export interface MergePiece {
  readonly mismatch: string | null;
  readonly done: boolean;
  /** Last document that was found good. */
  readonly through: string;
}

/** V2, the next piece: first the histories are merged, then the documents are checked, after name `through` in their order. */
export function mergeNext(state: MachineState, loop: string, run: string, through: string): MergePiece {
  const ids = contested(state, run, STEP_ROWS_MAX);
  for (const id of ids) {
    const mismatch = mergeSubStep(state, loop, run, id);
    if (mismatch !== null) return { mismatch, done: true, through };
  }
  if (ids.length === STEP_ROWS_MAX) return { mismatch: null, done: false, through };
  let checked = through;
  let length = 0;
  const documents = touchedDocuments(state.tables.domain, run, through, STEP_ROWS_MAX);
  for (const { name, current } of documents) {
    if (!documentMatches(current)) return { mismatch: `${name} is not what its SHA-256 says`, done: true, through };
    checked = name;
    length += current.content.length;
    if (length >= STEP_DOCUMENTS_LENGTH_MAX) return { mismatch: null, done: false, through: checked };
  }
  if (documents.length === STEP_ROWS_MAX) return { mismatch: null, done: false, through: checked };
  return { mismatch: workMismatch(state, run), done: true, through: checked };
}

/** Reports that contradict each other: the one that knows all the others stands. */
function mergeSubStep(state: MachineState, loop: string, run: string, id: string): string | null {
  const all = candidates(state, run, id);
  const forged = all.find(({ vectorClock }) => contradictsTombstone(state, loop, vectorClock));
  if (forged !== undefined) return `FORENSIC_MISMATCH: the history that ${forged.participant} told of ${id}`;
  const winner = winnerOf(all);
  if (winner === null) return `${all.length} reports of ${id} contradict each other, and none knows the others`;
  settleRivals(state, run, id, winner);
  return null;
}

/** History beyond the last event of a node that is gone (P8). */
function contradictsTombstone(state: MachineState, loop: string, clock: VectorClock): boolean {
  const { tombstone } = state.tables.domain;
  return clock.some(([node, counter]) => counter > (tombstone.get(tombstoneKey(loop, node))?.counter ?? counter));
}

/** All of the work was done, and every effect of it is known to have happened. */
function workMismatch(state: MachineState, run: string): string | null {
  const { subStepsDone, total } = must(state.tables.run.get(run), 'the run of a recovery');
  const watch = state.tables.domain.watch.get(run);
  const participants = watch?.participants ?? [];
  const finished = watch?.finished ?? [];
  const complete =
    (total > 0 && subStepsDone >= total) || (participants.length > 0 && finished.length === participants.length);
  if (!complete) {
    return `the work is not complete: ${subStepsDone} of ${total} sub-steps, ${finished.length} of ${participants.length} participants`;
  }
  const intent = openEffects(state.tables.domain, run).find((effect) => effect.state === 'INTENT');
  return intent === undefined ? null : `effect ${intent.seq} is not confirmed: it may have happened or not`;
}
