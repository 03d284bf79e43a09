/**
 * The cluster's feature level (R9): what a command may use. Level 1 is release 0.1, level 2 adds `changeMembers` and
 * configuration entries, level 3 what `DomainCommand` lists and all that comes with it. The leader raises it when all members support the next one.
 */
import { assert } from '../../types/assert.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import type { MachineState } from '../state.ts';
import type { Rejection } from '../types.ts';
import { checkInteger } from '../validate.ts';

/** Highest level that this version carries out. */
export const FEATURE_LEVEL_MAX = 3;
/** No level is ever higher; the same in all versions, so that they refuse the same. */
const LEVEL_BOUND = 1_000;

export function setFeatureLevel(context: ApplyContext, body: BodyOf<'setFeatureLevel'>): Outcome {
  const { state } = context;
  const bad = checkInteger('level', body.level, 1, LEVEL_BOUND);
  if (bad !== null) return err(bad);
  // Not a rejection: a version that knows the level carries this out, and replicas must not differ (R7).
  assert(body.level <= FEATURE_LEVEL_MAX, `feature level ${body.level}: this member is older than the entry`);
  const { used } = state.feature;
  if (body.level < used) {
    return reject(
      'FEATURE_LEVEL_IN_USE',
      `Keep the feature level at ${used} or above: what came with it was used, and older versions cannot read that.`,
      { level: body.level, used },
    );
  }
  state.feature = { level: body.level, used, pinned: body.pinned };
  return ok({ kind: 'featureLevelSet', level: body.level });
}

/** null when the cluster is at `level` or above. */
export function checkFeatureLevel(state: MachineState, level: number): Rejection | null {
  const now = state.feature.level;
  if (now >= level) return null;
  const refused = reject(
    'FEATURE_LEVEL_TOO_LOW',
    `Upgrade all members and let the feature level rise to ${level}: the cluster is at ${now}.`,
    { level: now, needed: level },
  );
  return refused.error;
}

/** From now on the cluster cannot go back below `level`. */
export function useFeatureLevel(state: MachineState, level: number): void {
  const { feature } = state;
  assert(level <= feature.level, 'what is used is allowed');
  state.feature = { ...feature, used: Math.max(feature.used, level) };
}
