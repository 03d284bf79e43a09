/**
 * Snapshots of a loop's documents (P7, V3). A snapshot is a revision that the run holds: taking one writes nothing but the
 * run's own watch row, whatever the number of documents. Versions that it shows are kept (store.ts, S2), and what the run
 * writes is noted, so that a rollback looks at those documents alone.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { assert, must } from '../../types/assert.ts';
import type { Revision } from '../../types/ids.ts';
import { DOCUMENTS_TOUCHED_MAX } from '../../types/limits.ts';
import type { DomainRows } from '../api.ts';
import type { ApplyContext } from '../context.ts';
import { after as endOf, next, under } from '../keys.ts';
import type { MachineState } from '../state.ts';
import { mergeClocks } from '../vector-clock.ts';
import { type DocumentContent, documentKey, snapshotOf, touchedKey, versionOf, writeVersion } from './store.ts';
import type { DocumentRow, TouchedRow } from './types.ts';

/**
 * The run with `runKey`, which has a watch row, holds a snapshot as at `revision`. O(1). A run that holds one keeps it: what
 * its earlier attempts wrote is still there, and a rollback undoes that too.
 */
export function pinSnapshot(state: MachineState, runKey: string, revision: Revision): void {
  const { watch } = state.tables.domain;
  const row = must(watch.get(runKey), 'a run that begins is watched');
  if (row.snapshotRevision === 0) watch.put(runKey, { ...row, snapshotRevision: revision });
}

/**
 * Lets the snapshot go, with what was noted for it: at most DOCUMENTS_TOUCHED_MAX rows. Nothing to do when none is held.
 * Versions that only this snapshot needed go with the next write of their document.
 */
export function unpinSnapshot(state: MachineState, runKey: string): void {
  const { watch, touched, documentCount } = state.tables.domain;
  const row = watch.get(runKey);
  if (row !== null && row.snapshotRevision !== 0) watch.put(runKey, { ...row, snapshotRevision: 0 });
  if (!documentCount.delete(runKey)) return;
  const dropped = touched.deleteRange(under(runKey), endOf(runKey), DOCUMENTS_TOUCHED_MAX + 1);
  assert(dropped <= DOCUMENTS_TOUCHED_MAX, 'what a run touches is bounded');
}

/** A document that the run has written. `current` is its newest version, whoever wrote it. */
export interface TouchedDocument extends TouchedRow {
  readonly current: DocumentRow;
}

/** At most `limit` documents that the run has written, with names after `after` ('' for all), in name order. */
export function touchedDocuments(
  rows: DomainRows,
  runKey: string,
  after: string,
  limit: number,
): readonly TouchedDocument[] {
  const from = after === '' ? under(runKey) : next(touchedKey(runKey, after));
  return rows.touched.range(from, endOf(runKey), limit).map(([, row]) => {
    const current = must(rows.document.get(documentKey(row.loop, row.name)), 'a touched document');
    return { ...row, current };
  });
}

/** True when the content is what its SHA-256 says. A deleted version has neither. */
export function documentMatches({ deleted, content, sha256: expected }: DocumentRow): boolean {
  if (deleted) return content === '' && expected === '';
  return sha256Hex(content) === expected;
}

/** Over the UTF-8 bytes of the text; 64 lower-case hexadecimal digits. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(text));
}

/**
 * Rolls the next `limit` documents back (V3), in name order after `after` ('' to begin): each gets a new version with the
 * content of the newest write from outside since the snapshot, or of the snapshot itself; one that the run has made is
 * deleted. A document whose newest version is not the run's is left alone, so doing it twice changes nothing more.
 * `restoredThrough`: where to go on from. `done`: nothing is left.
 */
export function restoreTouched(
  context: ApplyContext,
  runKey: string,
  after: string,
  limit: number,
): { restoredThrough: string; done: boolean } {
  assert(Number.isSafeInteger(limit) && limit >= 1, `not a number of documents: ${limit}`);
  const rows = context.state.tables.domain;
  const found = touchedDocuments(rows, runKey, after, limit);
  // A run without a snapshot has nothing to go back to, and has noted nothing.
  assert(found.length === 0 || snapshotOf(rows.watch.get(runKey)) !== null, 'touched documents have a snapshot');
  for (const document of found) {
    if (document.current.run === runKey) restore(context, runKey, document);
  }
  return { restoredThrough: found.at(-1)?.name ?? after, done: found.length < limit };
}

function restore(
  context: ApplyContext,
  runKey: string,
  { loop, name, current, baseVersion, outsideVersion }: TouchedDocument,
): void {
  const version = outsideVersion === 0 ? baseVersion : outsideVersion;
  const target =
    version === 0
      ? null
      : must(versionOf(context.state.tables.domain, loop, name, version), `version ${version} of ${name} is kept`);
  const content: DocumentContent =
    target === null || target.deleted ? deletedContent(loop, name) : goBack(current, target);
  // What another run has written stays its own: that run may still be undone too.
  const run = target === null || target.run === runKey ? '' : target.run;
  writeVersion(context, content, run, 'RESTORED', version);
}

export function deletedContent(loop: string, name: string): DocumentContent {
  return {
    loop,
    name,
    deleted: true,
    content: '',
    sha256: '',
    schema: '',
    causalFields: [],
    causalClocks: [],
  };
}

/** Content goes back, clocks do not: whoever saw the undone write must not take the restored one for an older one. */
function goBack(current: DocumentRow, target: DocumentRow): DocumentContent {
  const { loop, name, deleted, content, sha256: hash, schema, causalFields } = target;
  const causalClocks = causalFields.map((field, i) => {
    const at = current.causalFields.indexOf(field);
    return mergeClocks(target.causalClocks[i] ?? [], current.causalClocks[at] ?? []);
  });
  return { loop, name, deleted, content, sha256: hash, schema, causalFields, causalClocks };
}
