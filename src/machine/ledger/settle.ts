/** confirmEffect and withdrawEffect: what became of an effect, by the word of the agent (L1). */
import { EFFECT_RESULT_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { checkFence, findRun } from '../phase/run.ts';
import type { Rejection } from '../types.ts';
import { checkText, checkToken, firstOf } from '../validate.ts';
import { checkKey } from './check.ts';
import { changeEffect, spendingKey } from './effects.ts';
import { ownEffect } from './intent.ts';
import type { EffectRow, EffectState } from './types.ts';

export function confirmEffect(context: ApplyContext, body: BodyOf<'confirmEffect'>): Outcome {
  const text = checkText('result', body.result, 0, EFFECT_RESULT_LENGTH_MAX);
  const settled = settle(context, body, { state: 'CONFIRMED', result: body.result }, text);
  return settled.ok ? ok({ kind: 'effectConfirmed', seq: settled.value.seq }) : settled;
}

/** What it would have cost is free again. A swing that it counted for stands: the window forgets it. */
export function withdrawEffect(context: ApplyContext, body: BodyOf<'withdrawEffect'>): Outcome {
  const text = checkText('reason', body.reason, 0, EFFECT_RESULT_LENGTH_MAX);
  const settled = settle(context, body, { state: 'WITHDRAWN', result: body.reason }, text);
  return settled.ok ? ok({ kind: 'effectWithdrawn', seq: settled.value.seq }) : settled;
}

function settle(
  context: ApplyContext,
  body: BodyOf<'confirmEffect'> | BodyOf<'withdrawEffect'>,
  to: { readonly state: EffectState; readonly result: string },
  text: Rejection | null,
): Result<EffectRow, Rejection> {
  const { state } = context;
  const bad = firstOf(checkFeatureLevel(state, 3), checkToken(body.token), checkKey(body.key), text);
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const fence = checkFence(found.value.run, body.token);
  if (!fence.ok) return fence;
  const effect = ownEffect(state, found.value, body.key);
  if (!effect.ok) return effect;
  const row = effect.value;
  // Said twice, by a caller without a session.
  if (row.state === to.state && row.result === to.result) return ok(row);
  if (row.state !== 'INTENT') {
    return reject('EFFECT_SETTLED', `Leave it: effect ${row.key} is ${row.state} already, with a result of its own.`, {
      key: row.key,
      seq: row.seq,
      state: row.state,
    });
  }
  useFeatureLevel(state, 3);
  changeEffect(context, found.value.key, row, to);
  if (to.state === 'WITHDRAWN') refund(context, found.value.key, row);
  return ok(row);
}

function refund({ state }: ApplyContext, runKey: string, row: EffectRow): void {
  const { spending } = state.tables.domain;
  const key = spendingKey(row.traceId, runKey);
  const account = spending.get(key);
  if (account === null || row.costMicros === '0') return;
  spending.put(key, { ...account, spentMicros: String(BigInt(account.spentMicros) - BigInt(row.costMicros)) });
}
