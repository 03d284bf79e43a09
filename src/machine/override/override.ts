/**
 * An override (O1, O2): enough supervisors have signed that the recoveries of a trace are to be moved. It is carried out on every
 * recovery of the trace that the action applies to; there must be one.
 */
import { clusterTimeMs } from '../../types/ids.ts';
import { NAME_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { overrideRecovery, overrideTargets } from '../recovery/override.ts';
import { checkText, firstOf, invalid } from '../validate.ts';
import { checkLine, checkSignatures } from './form.ts';
import { checkOnce, checkOnceForm, useNonce } from './nonce.ts';
import { checkSigners } from './roster.ts';
import { OVERRIDE_ACTIONS } from './types.ts';

const LEVEL = 3;

export function override(context: ApplyContext, body: BodyOf<'override'>): Outcome {
  const { state } = context;
  const { target, action } = body;
  const refused = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkText('target', target, 1, NAME_LENGTH_MAX),
    checkLine('target', target),
    OVERRIDE_ACTIONS.includes(action) ? null : invalid('action', `Give action as ${OVERRIDE_ACTIONS.join(', ')}.`),
    checkOnceForm(body),
    checkSignatures(body.signatures, 1),
  );
  if (refused !== null) return err(refused);
  const unsigned = firstOf(checkOnce(context, body), checkSigners(state, body.signatures));
  if (unsigned !== null) return err(unsigned);

  const { runs, refused: standing } = overrideTargets(context, target, action);
  if (runs.length === 0 && standing !== null) return err(standing);
  if (runs.length === 0) {
    return reject('OVERRIDE_NO_TARGET', 'Check the trace id: no recovery that is kept has it.', { traceId: target });
  }

  useFeatureLevel(state, LEVEL);
  useNonce(state, { expiresAtMs: clusterTimeMs(body.expiresAtMs), nonce: body.nonce });
  let recoveries = 0;
  for (const run of runs) {
    const row = state.tables.domain.recovery.get(run);
    // Two recoveries of one phase share its lock: the one that comes first in order has taken it then.
    if (row === null || !overrideRecovery(context, run, action).ok) continue;
    recoveries += 1;
    const { loop, g, phase, attempt } = row;
    const token = state.tables.domain.recovery.get(run)?.token ?? row.token;
    const outcome = `${action} ${target}`;
    context.emit({ kind: 'override.accepted', loop, g, phase, attempt, token, outcome, vectorClock: [] });
  }
  return ok({ kind: 'overridden', recoveries });
}
