/** What the fields of document commands must be, and whether a write may happen. */

import {
  CAUSAL_FIELD_LENGTH_MAX,
  CAUSAL_FIELDS_MAX,
  DOCUMENT_LENGTH_MAX,
  DOCUMENT_SCHEMA_LENGTH_MAX,
  DOCUMENTS_TOUCHED_MAX,
} from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type BodyOf, reject } from '../context.ts';
import { runKey } from '../keys.ts';
import { checkFeatureLevel } from '../member/feature.ts';
import { checkFence, findRun } from '../phase/run.ts';
import type { LoopRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { Rejection, VectorClock } from '../types.ts';
import { checkInteger, checkName, checkText, checkToken, firstOf, invalid } from '../validate.ts';
import { advanceLoopClock } from '../vector-clock.ts';
import { countOf, documentKey, snapshotOf, touchedKey } from './store.ts';
import type { DocumentRow } from './types.ts';

type WriteBody = BodyOf<'putDocument'> | BodyOf<'deleteDocument'>;

const SHA256 = /^[0-9a-f]{64}$/;
/** JSON pointer (RFC 6901). */
const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;

/** What a write needs to know of the state before it may go on. */
export interface WriteGrant {
  readonly loop: LoopRow;
  /** null: there never was a document of this name. */
  readonly before: DocumentRow | null;
  /** Key of the run that writes; '' for outside of any phase. */
  readonly run: string;
  /** Of the loop, after the write. */
  readonly clock: VectorClock;
}

/** The checks that put and delete have in common. Changes nothing. */
export function checkWrite(state: MachineState, body: WriteBody, caller: string): Result<WriteGrant, Rejection> {
  const bad = firstOf(
    checkFeatureLevel(state, 3),
    checkName('loop', body.loop),
    checkName('name', body.name),
    checkInteger('expectedVersion', body.expectedVersion, 0, Number.MAX_SAFE_INTEGER - 1),
    body.ref === null ? null : checkToken(body.token),
    body.ref === null || body.ref.loop === body.loop
      ? null
      : invalid('ref.loop', `Name a phase run of loop ${body.loop}: its documents are the ones that are written.`),
  );
  if (bad !== null) return err(bad);
  const { document } = state.tables.domain;
  const loop = state.tables.loop.get(body.loop);
  if (loop === null) {
    return reject('LOOP_NOT_FOUND', `Create loop ${body.loop} first, or check its name.`, { loop: body.loop });
  }
  const writer = checkWriter(state, body);
  if (!writer.ok) return writer;
  const before = document.get(documentKey(body.loop, body.name));
  const version = checkVersion(body, before);
  if (version !== null) return err(version);
  const clock = advanceLoopClock(state.tables.domain.tombstone, loop, body.vectorClock, caller);
  if (!clock.ok) return clock;
  return ok({ loop, before, run: writer.value, clock: clock.value });
}

/** The key of the run that writes, if its attempt may. */
function checkWriter(state: MachineState, { ref, token, name }: WriteBody): Result<string, Rejection> {
  if (ref === null) return ok('');
  const found = findRun(state, ref);
  if (!found.ok) return found;
  const { run } = found.value;
  const fence = checkFence(run, token);
  if (!fence.ok) return fence;
  const key = runKey(run.loop, run.g, run.position);
  const { touched, watch } = state.tables.domain;
  if (snapshotOf(watch.get(key)) === null) {
    return reject(
      'FEATURE_LEVEL_TOO_LOW',
      `Take ${run.phase} over by superseding attempt ${run.attempt}: it was begun before feature level 3, without a snapshot to go back to.`,
      { attempt: run.attempt, phase: run.phase },
    );
  }
  if (!touched.has(touchedKey(key, name)) && countOf(state, key) >= DOCUMENTS_TOUCHED_MAX) {
    return reject(
      'LIMIT_EXCEEDED',
      `Write fewer documents in one phase: ${run.phase} has written ${DOCUMENTS_TOUCHED_MAX}, and no more are allowed.`,
      { limit: DOCUMENTS_TOUCHED_MAX },
    );
  }
  return ok(key);
}

/** P6: a write names the version that it read. A deleted document may be named by its version, or by 0. */
function checkVersion({ name, expectedVersion }: WriteBody, before: DocumentRow | null): Rejection | null {
  const version = before?.version ?? 0;
  if (expectedVersion === version) return null;
  if (expectedVersion === 0 && before?.deleted === true) return null;
  const now = before === null ? 'there is none' : `it is ${before.deleted ? 'deleted in ' : ''}version ${version} now`;
  return reject(
    'VERSION_MISMATCH',
    `Read ${name} again and redo the change: it was made to version ${expectedVersion}, but ${now}.`,
    { deleted: String(before?.deleted ?? false), expectedVersion, name, version },
  ).error;
}

/** The fields of a put beside those that {@link checkWrite} looks at. */
export function checkContent(body: BodyOf<'putDocument'>): Rejection | null {
  const bad = firstOf(
    checkText('content', body.content, 0, DOCUMENT_LENGTH_MAX),
    SHA256.test(body.sha256) ? null : invalid('sha256', 'Send sha256 as 64 lower-case hexadecimal digits.'),
    body.schema === null ? null : checkText('schema', body.schema, 0, DOCUMENT_SCHEMA_LENGTH_MAX),
  );
  if (bad !== null) return bad;
  return checkPointers('causalFields', body.causalFields ?? []) ?? checkPointers('causalChanged', body.causalChanged);
}

function checkPointers(field: string, pointers: readonly string[]): Rejection | null {
  const count = checkInteger(field, pointers.length, 0, CAUSAL_FIELDS_MAX);
  if (count !== null) return count;
  for (const pointer of pointers) {
    const bad = checkText(field, pointer, 0, CAUSAL_FIELD_LENGTH_MAX);
    if (bad !== null) return bad;
    if (!POINTER.test(pointer))
      return invalid(
        field,
        `Send ${field} as JSON pointers such as /spec/replicas; ${JSON.stringify(pointer)} is none.`,
      );
  }
  return new Set(pointers).size === pointers.length ? null : invalid(field, `Name each pointer of ${field} once.`);
}
