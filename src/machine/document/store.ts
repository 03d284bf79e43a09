/**
 * Documents and their versions. The newest version of each stands in `document`, older ones in `document.version`.
 *
 * Invariants:
 * S1. Versions of a document rise by one, through deletions and rollbacks too.
 * S2. Older versions that are kept: those within the newest DOCUMENT_VERSIONS_KEPT, what a held snapshot shows, and what a
 *     rollback would go back to. A write drops the others, so a document has a bounded number of versions.
 * S3. A touched row exists for each document that a run with a held snapshot has written.
 */
import { assert } from '../../types/assert.ts';
import type { Revision } from '../../types/ids.ts';
import { DOCUMENT_VERSIONS_KEPT } from '../../types/limits.ts';
import type { DomainRows } from '../api.ts';
import type { ApplyContext } from '../context.ts';
import type { WatchRow } from '../detection/types.ts';
import { after, padded, under } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { DocumentRow } from './types.ts';

export const documentKey = (loop: string, name: string): string => `${loop} ${name}`;
export const versionKey = (loop: string, name: string, version: number): string =>
  `${documentKey(loop, name)} ${padded(version)}`;
export const touchedKey = (runKey: string, name: string): string => `${runKey} ${name}`;

/** A run of the loop that holds a snapshot. */
export interface HeldSnapshot {
  readonly run: string;
  readonly revision: Revision;
}

/** In the order of rounds and phases: at most the runs of the rounds that are kept. */
export function heldSnapshots(rows: DomainRows, loop: string): readonly HeldSnapshot[] {
  const { watch } = rows;
  const held: HeldSnapshot[] = [];
  for (const [run, row] of watch.range(under(loop), after(loop), watch.size)) {
    const revision = snapshotOf(row);
    if (revision !== null) held.push({ run, revision });
  }
  return held;
}

export function snapshotOf(watch: WatchRow | null): Revision | null {
  return watch === null || watch.snapshotRevision === 0 ? null : watch.snapshotRevision;
}

/** One version of a document; null when there is none, or it is not kept any more. */
export function versionOf(rows: DomainRows, loop: string, name: string, version: number): DocumentRow | null {
  const newest = rows.document.get(documentKey(loop, name));
  if (newest?.version === version) return newest;
  return Number.isSafeInteger(version) && version >= 1
    ? rows.documentVersion.get(versionKey(loop, name, version))
    : null;
}

/** Versions of a document that are kept besides the newest, oldest first. */
export function olderVersions(rows: DomainRows, loop: string, name: string): readonly DocumentRow[] {
  const key = documentKey(loop, name);
  const { documentVersion } = rows;
  return documentVersion.range(under(key), after(key), documentVersion.size).map(([, row]) => row);
}

/** The version that was the newest at `revision`, of those that are kept; null when there was no document yet. */
export function versionAt(rows: DomainRows, loop: string, name: string, revision: Revision): DocumentRow | null {
  const newest = rows.document.get(documentKey(loop, name));
  if (newest === null || newest.changedRevision <= revision) return newest;
  return olderVersions(rows, loop, name).findLast((row) => row.changedRevision <= revision) ?? null;
}

export function countOf(state: MachineState, key: string): number {
  return state.tables.domain.documentCount.get(key)?.documents ?? 0;
}

export function addToCount(state: MachineState, key: string): void {
  state.tables.domain.documentCount.put(key, { documents: countOf(state, key) + 1 });
}

/** What a write changes; version, run and time are added. */
export type DocumentContent = Pick<
  DocumentRow,
  'loop' | 'name' | 'deleted' | 'content' | 'sha256' | 'schema' | 'causalFields' | 'causalClocks'
>;

/**
 * Writes the next version: by the run with key `run`, or '' for outside of any phase. The caller has checked everything.
 * `restoredFrom`: the version that a rollback goes back to, 0 for any other write.
 */
export function writeVersion(
  context: ApplyContext,
  content: DocumentContent,
  run: string,
  verb: 'PUT' | 'DELETED' | 'RESTORED',
  restoredFrom = 0,
): DocumentRow {
  const { state } = context;
  const { document, documentVersion } = state.tables.domain;
  const { loop, name } = content;
  const key = documentKey(loop, name);
  const before = document.get(key);
  const held = heldSnapshots(state.tables.domain, loop);
  if (before === null) addToCount(state, loop);
  const row: DocumentRow = {
    ...content,
    version: (before?.version ?? 0) + 1,
    run,
    caller: context.caller,
    changedRevision: context.revision,
    changedAtMs: context.timeMs,
  };
  noteTouched(state, held, before, row);
  if (restoredFrom > 0) noteRestored(state, held, row, restoredFrom);
  if (before !== null) documentVersion.put(versionKey(loop, name, before.version), before);
  document.put(key, row);
  dropVersions(state, held, row);
  emitChanged(context, row, verb);
  return row;
}

/** S3. The writing run takes note of where it would go back to; for the others this is a write from outside, which survives. */
function noteTouched(
  state: MachineState,
  held: readonly HeldSnapshot[],
  before: DocumentRow | null,
  { loop, name, version, run }: DocumentRow,
): void {
  const { touched } = state.tables.domain;
  for (const snapshot of held) {
    const key = touchedKey(snapshot.run, name);
    const noted = touched.get(key);
    if (snapshot.run !== run) {
      if (noted !== null) touched.put(key, { ...noted, outsideVersion: version });
      continue;
    }
    if (noted !== null) continue;
    const base = versionAt(state.tables.domain, loop, name, snapshot.revision)?.version ?? 0;
    const outsideVersion = before === null || before.version === base ? 0 : before.version;
    touched.put(key, { loop, name, baseVersion: base, outsideVersion });
    addToCount(state, snapshot.run);
  }
}

/**
 * A rollback has gone back to what another run wrote, which holds a snapshot still: what came after that was undone and is no
 * write from outside any more. The one before it counts again, as far as it is kept.
 */
function noteRestored(
  state: MachineState,
  held: readonly HeldSnapshot[],
  { loop, name, run }: DocumentRow,
  restoredFrom: number,
): void {
  const { touched } = state.tables.domain;
  const key = touchedKey(run, name);
  const noted = held.some((snapshot) => snapshot.run === run) ? touched.get(key) : null;
  if (noted === null || noted.outsideVersion < restoredFrom) return;
  const before = olderVersions(state.tables.domain, loop, name).findLast(
    (row) => row.version < restoredFrom && row.version > noted.baseVersion && row.run !== run,
  );
  touched.put(key, { ...noted, outsideVersion: before?.version ?? 0 });
}

/** S2. */
function dropVersions(state: MachineState, held: readonly HeldSnapshot[], newest: DocumentRow): void {
  const { documentVersion, touched } = state.tables.domain;
  const { loop, name } = newest;
  const older = olderVersions(state.tables.domain, loop, name);
  const keptFrom = newest.version - DOCUMENT_VERSIONS_KEPT + 1;
  if (older[0] === undefined || older[0].version >= keptFrom) return;
  const needed = new Set<number>();
  for (const { run, revision } of held) {
    needed.add(older.findLast((row) => row.changedRevision <= revision)?.version ?? 0);
    const noted = touched.get(touchedKey(run, name));
    if (noted === null) continue;
    needed.add(noted.baseVersion);
    needed.add(noted.outsideVersion);
  }
  for (const { version } of older) {
    if (version < keptFrom && !needed.has(version)) documentVersion.delete(versionKey(loop, name, version));
  }
}

/** `outcome` of the event: what was done, the name, and the version. */
function emitChanged(context: ApplyContext, row: DocumentRow, verb: string): void {
  const loop = context.state.tables.loop.get(row.loop);
  assert(loop !== null, 'a document belongs to a loop');
  context.emit({
    kind: 'document.changed',
    loop: row.loop,
    g: loop.g,
    phase: '',
    attempt: 0,
    token: 0,
    outcome: `${verb} ${row.name} ${row.version}`,
    vectorClock: loop.vectorClock,
  });
}
