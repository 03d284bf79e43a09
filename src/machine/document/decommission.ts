/** decommissionNode (P8). What its timer does is in timer.ts. */

import type { ClusterTimeMs } from '../../types/ids.ts';
import { DECOMMISSIONED_MAX, NAME_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { padded } from '../keys.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { checkText, firstOf } from '../validate.ts';

/** Names of nodes are free text: the letter keeps the key within what KEY_END bounds. */
export const nodeKey = (node: string): string => `node ${node}`;
const timerKey = (dueMs: number, node: string): string => `${padded(dueMs)} tombstone ${node}`;

export function decommissionNode(context: ApplyContext, body: BodyOf<'decommissionNode'>): Outcome {
  const { state } = context;
  const bad = firstOf(checkFeatureLevel(state, 3), checkText('node', body.node, 1, NAME_LENGTH_MAX));
  if (bad !== null) return err(bad);
  const { tables } = state;
  const { decommissioned } = tables.domain;
  const existing = decommissioned.get(nodeKey(body.node));
  // Said twice: it counts from the first time. After it was dropped it begins anew, for loops that have met the name since.
  if (existing !== null && !existing.dropped) return ok({ kind: 'nodeDecommissioned', dropAtMs: existing.dropAtMs });
  if (existing === null && decommissioned.size >= DECOMMISSIONED_MAX) {
    return reject('LIMIT_EXCEEDED', `Give nodes lasting names: ${decommissioned.size} are decommissioned already.`, {
      limit: DECOMMISSIONED_MAX,
    });
  }
  useFeatureLevel(state, 3);
  const dropAtMs = (context.timeMs + policyValue(state, 'decommissionMs')) as ClusterTimeMs;
  decommissioned.put(nodeKey(body.node), {
    node: body.node,
    decommissionedAtMs: context.timeMs,
    dropAtMs,
    dropped: false,
    droppedThrough: '',
  });
  tables.timer.put(timerKey(dropAtMs, body.node), { kind: 'tombstone', dueMs: dropAtMs, node: body.node });
  return ok({ kind: 'nodeDecommissioned', dropAtMs });
}
