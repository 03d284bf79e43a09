/** putDocument and deleteDocument (P6). */
import { DOCUMENTS_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { useFeatureLevel } from '../member/feature.ts';
import type { Rejection, VectorClock } from '../types.ts';
import { invalid } from '../validate.ts';
import { advanceLoopClock, withoutDropped } from '../vector-clock.ts';
import { checkContent, checkWrite, type WriteGrant } from './check.ts';
import { deletedContent } from './snapshot.ts';
import { countOf, type DocumentContent, writeVersion } from './store.ts';

export function putDocument(context: ApplyContext, body: BodyOf<'putDocument'>): Outcome {
  const { state, caller } = context;
  const bad = checkContent(body);
  if (bad !== null) return err(bad);
  const granted = checkWrite(state, body, caller);
  if (!granted.ok) return granted;
  const { before, loop } = granted.value;
  if (before === null && countOf(state, body.loop) >= DOCUMENTS_MAX) {
    return reject(
      'LIMIT_EXCEEDED',
      `Use a name that is or was in use: loop ${body.loop} has ${DOCUMENTS_MAX} documents, deleted ones included, and no more are allowed.`,
      { limit: DOCUMENTS_MAX },
    );
  }
  const causal = causalOf(context, body, granted.value);
  if (!causal.ok) return causal;
  const content: DocumentContent = {
    // One text for all versions: sixteen of each are kept.
    loop: loop.loop,
    name: before?.name ?? body.name,
    deleted: false,
    content: body.content,
    sha256: body.sha256,
    schema: body.schema ?? before?.schema ?? '',
    ...causal.value,
  };
  return ok({ kind: 'documentPut', version: write(context, content, granted.value, 'PUT') });
}

export function deleteDocument(context: ApplyContext, body: BodyOf<'deleteDocument'>): Outcome {
  const { state, caller } = context;
  const granted = checkWrite(state, body, caller);
  if (!granted.ok) return granted;
  const { before } = granted.value;
  if (before === null || before.deleted) {
    return reject('DOCUMENT_NOT_FOUND', `Check the name: loop ${body.loop} has no document ${body.name}.`, {
      loop: body.loop,
      name: body.name,
    });
  }
  const content = deletedContent(body.loop, body.name);
  return ok({ kind: 'documentDeleted', version: write(context, content, granted.value, 'DELETED') });
}

/** Returns the new version. */
function write(
  context: ApplyContext,
  content: DocumentContent,
  { loop, run, clock }: WriteGrant,
  verb: 'PUT' | 'DELETED',
): number {
  const { state } = context;
  useFeatureLevel(state, 3);
  state.tables.loop.put(loop.loop, { ...loop, changedRevision: context.revision, vectorClock: clock });
  return writeVersion(context, content, run, verb).version;
}

/** Of most documents, and so one for all. */
const NOT_CAUSAL = { causalFields: [], causalClocks: [] };

/**
 * Clocks of the causal fields: the writer has read the field's clock with the version that it names, so its own entry counts
 * up where the value changed, and nothing else does. A field that was not causal before begins a clock.
 */
function causalOf(
  { state, caller }: ApplyContext,
  body: BodyOf<'putDocument'>,
  { before }: WriteGrant,
): Result<Pick<DocumentContent, 'causalFields' | 'causalClocks'>, Rejection> {
  const causalFields = body.causalFields ?? before?.causalFields ?? [];
  if (causalFields.length === 0 && body.causalChanged.length === 0) return ok(NOT_CAUSAL);
  const known = new Set(causalFields);
  const stray = body.causalChanged.find((field) => !known.has(field));
  if (stray !== undefined) {
    return err(invalid('causalChanged', `Name causal fields only: ${JSON.stringify(stray)} is not among them.`));
  }
  const changed = new Set(body.causalChanged);
  const causalClocks: VectorClock[] = [];
  for (const field of causalFields) {
    const at = before?.causalFields.indexOf(field) ?? -1;
    const clock = before?.causalClocks[at] ?? [];
    if (at >= 0 && !changed.has(field)) {
      causalClocks.push(clock);
      continue;
    }
    // The field's own clock has no counters of others to tell: nothing is sent.
    const vectorClock = withoutDropped(state.tables.domain.tombstone, body.loop, clock);
    const advanced = advanceLoopClock(state.tables.domain.tombstone, { loop: body.loop, vectorClock }, [], caller);
    if (!advanced.ok) return advanced;
    causalClocks.push(advanced.value);
  }
  return ok({ causalFields: [...causalFields], causalClocks });
}
