/** recordIntent: what an agent says before it does something to the outside world (L1), and whether it still may (L4). */
import { must } from '../../types/assert.ts';
import { EFFECTS_PER_RUN_MAX, SPENDING_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { openIssue, raiseAlert } from '../issue/issue.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { checkFence, type FoundRun, findRun } from '../phase/run.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { Rejection } from '../types.ts';
import { checkIntent } from './check.ts';
import { accountAfter, accountOf, judgeCost, noteResource, type Verdict } from './cost.ts';
import { effectRowKey, emitEffect, idempotencyKey, lastSeq, spendingKey } from './effects.ts';
import type { Compensator, EffectRow, LedgerValue, SpendingRow } from './types.ts';

type IntentBody = BodyOf<'recordIntent'>;
type Recorded = Extract<LedgerValue, { kind: 'intentRecorded' }>;

export function recordIntent(context: ApplyContext, body: IntentBody): Outcome {
  const { state } = context;
  const bad = checkFeatureLevel(state, 3) ?? checkIntent(body);
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const { run, key } = found.value;
  const fence = checkFence(run, body.token);
  if (!fence.ok) return fence;
  const known = findEffect(state, body.ref.loop, body.key);
  if (known !== null && isOwed(state, known, run)) return owed(known);
  if (known !== null) return again(known, body);
  const seq = lastSeq(state.tables.domain, key) + 1;
  const account = accountOf(state, run.traceId, key);
  const room = checkRoom(state, seq, account);
  if (room !== null) return err(room);

  useFeatureLevel(state, 3);
  const verdict = judgeCost(state, body, account, context.timeMs);
  if (verdict.capped !== '') return ok(refuse(context, found.value, body, account, verdict));
  charge(context, found.value, body, account, verdict);
  const row = newEffect(context, found.value, body, seq);
  state.tables.domain.effect.put(effectRowKey(key, seq), row);
  state.tables.domain.effectKey.put(idempotencyKey(row.loop, row.key), { run: key, seq });
  noteResource(state, body, context.timeMs);
  emitEffect(context, row, 'effect.intent');
  return ok(recorded(row, true));
}

/** The effect with an idempotency key, whichever run of the loop recorded it. */
export function findEffect(state: MachineState, loop: string, key: string): EffectRow | null {
  const { effect, effectKey } = state.tables.domain;
  const at = effectKey.get(idempotencyKey(loop, key));
  return at === null ? null : must(effect.get(effectRowKey(at.run, at.seq)), 'an idempotency key leads to its effect');
}

function recorded({ seq, state, result }: EffectRow, fresh: boolean): Recorded {
  return { kind: 'intentRecorded', seq, fresh, state, result, refusal: '', refusalDetail: '' };
}

/** The key is on record: it never runs twice. */
function again(known: EffectRow, body: IntentBody): Outcome {
  const where = { key: known.key, seq: known.seq, state: known.state };
  if (known.state === 'COMPENSATED' || known.state === 'WITHDRAWN') {
    return reject('EFFECT_SETTLED', `Use another key: effect ${known.key} is ${known.state} for good.`, where);
  }
  if (known.description !== body.description || !sameCompensator(known.compensator, body.compensator)) {
    return reject(
      'EFFECT_EXISTS',
      `Use another key, or send what was sent before: ${known.key} is on record with another description or compensator.`,
      where,
    );
  }
  return ok(recorded(known, false));
}

/** Who relies on an effect must not lose it when a supervisor resumes the rollback of the run that it is of. */
function owed({ key, seq, state, phase, g }: EffectRow): Outcome {
  return reject(
    'EFFECT_EXISTS',
    `Use another key: ${key} is of ${phase} in round ${g}, which is HARD_FAILED and may yet be undone.`,
    { key, seq, state },
  );
}

/** It is open, and of another run than `run`, whose recovery is not through or has failed for good: it may be compensated at any time. */
function isOwed({ tables }: MachineState, { loop, g, phase, key, state }: EffectRow, run: StoredRunRow): boolean {
  if ((g === run.g && phase === run.phase) || (state !== 'INTENT' && state !== 'CONFIRMED')) return false;
  const at = tables.domain.effectKey.get(idempotencyKey(loop, key));
  const recovery = at === null ? null : tables.domain.recovery.get(at.run);
  return recovery !== null && recovery.state !== 'CLEAN_EXIT';
}

function sameCompensator(one: Compensator, other: Compensator): boolean {
  return one.kind === other.kind && one.target === other.target && one.payload === other.payload;
}

function checkRoom(state: MachineState, seq: number, account: SpendingRow | null): Rejection | null {
  if (seq > EFFECTS_PER_RUN_MAX) {
    return reject('LIMIT_EXCEEDED', `Cut the phase into smaller ones: a run may have ${EFFECTS_PER_RUN_MAX} effects.`, {
      limit: EFFECTS_PER_RUN_MAX,
    }).error;
  }
  const { size } = state.tables.domain.spending;
  if (account !== null || size < SPENDING_MAX) return null;
  return reject('LIMIT_EXCEEDED', `Use fewer trace ids: the spending of ${size} is kept, and no more are allowed.`, {
    limit: SPENDING_MAX,
  }).error;
}

function newEffect(context: ApplyContext, { run }: FoundRun, body: IntentBody, seq: number): EffectRow {
  const { kind, target, payload } = body.compensator;
  return {
    loop: run.loop,
    g: run.g,
    phase: run.phase,
    seq,
    attempt: run.attempt,
    key: body.key,
    description: body.description,
    compensator: { kind, target, payload },
    costMicros: body.costMicros,
    resource: body.resource,
    operation: body.operation,
    state: 'INTENT',
    result: '',
    traceId: run.traceId,
    caller: context.caller,
    intentAtMs: context.timeMs,
    settledAtMs: 0,
    changedRevision: context.revision,
  };
}

function charge(
  { state, timeMs }: ApplyContext,
  { run, key }: FoundRun,
  body: IntentBody,
  account: SpendingRow | null,
  verdict: Verdict,
): void {
  const { spending } = state.tables.domain;
  spending.put(spendingKey(run.traceId, key), accountAfter(account, body, verdict, run.traceId, timeMs));
}

/** Nothing was recorded but the cap. People are told once, not with every further intent. */
function refuse(
  context: ApplyContext,
  found: FoundRun,
  body: IntentBody,
  account: SpendingRow | null,
  verdict: Extract<Verdict, { fresh: boolean }>,
): Recorded {
  const { run } = found;
  const higher = verdict.capped === 'COST' && BigInt(body.limitMicros) > BigInt(account?.cappedLimitMicros || '0');
  if (verdict.fresh || higher) charge(context, found, body, account, verdict);
  if (verdict.fresh) {
    const { loop, g, phase, traceId } = run;
    const text = `${verdict.detail}; refused: ${body.key}`;
    const issue = openIssue(context, { kind: 'COST_CAP_EXCEEDED', loop, g, phase, traceId, seen: [text] });
    raiseAlert(context, 'cost_cap_exceeded', issue, `${loop} ${g} ${phase}, trace ${traceId || '(none)'}: ${text}`);
  }
  return {
    kind: 'intentRecorded',
    seq: 0,
    fresh: false,
    state: '',
    result: '',
    refusal: 'COST_CAP_EXCEEDED',
    refusalDetail: verdict.detail,
  };
}

/** The effect of this run with the key, for those who say what became of it. */
export function ownEffect(
  state: MachineState,
  { run, key: runKey }: FoundRun,
  key: string,
): Result<EffectRow, Rejection> {
  const at = state.tables.domain.effectKey.get(idempotencyKey(run.loop, key));
  const row = at?.run === runKey ? state.tables.domain.effect.get(effectRowKey(runKey, at.seq)) : null;
  if (row !== null) return ok(row);
  return reject('EFFECT_NOT_FOUND', `Record the intent first: ${run.phase} of round ${run.g} has no effect ${key}.`, {
    key,
  });
}
