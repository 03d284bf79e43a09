/** decommissionNode, and what its timer does (P8). */

import { must } from '../../types/assert.ts';
import type { ClusterTimeMs } from '../../types/ids.ts';
import { DECOMMISSIONED_MAX, NAME_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { KEY_END, next, padded } from '../keys.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import type { LoopRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { TimerRow } from '../tables.ts';
import { checkText, firstOf } from '../validate.ts';
import { tombstoneKey } from '../vector-clock.ts';
import { sha256Hex } from './snapshot.ts';

/** Loops that one step of the timer looks at. */
const LOOPS_PER_STEP = 100;

/** Names of nodes are free text: the letter keeps the key within what KEY_END bounds. */
const nodeKey = (node: string): string => `node ${node}`;
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

/**
 * Drops the node's entry from the next loops' clocks, each leaving a tombstone; with the last loop the timer goes. Returns how
 * much of the budget it used: the loops that were looked at, and one.
 */
export function dropEntries(
  state: MachineState,
  key: string,
  { node }: Extract<TimerRow, { kind: 'tombstone' }>,
): number {
  const { loop, timer, domain } = state.tables;
  const row = must(domain.decommissioned.get(nodeKey(node)), 'a node whose timer is due was decommissioned');
  const from = row.droppedThrough === '' ? '' : next(row.droppedThrough);
  const loops = loop.range(from, KEY_END, LOOPS_PER_STEP);
  for (const [, one] of loops) dropEntry(state, one, node);
  const dropped = loops.length < LOOPS_PER_STEP;
  const droppedThrough = loops.at(-1)?.[0] ?? row.droppedThrough;
  domain.decommissioned.put(nodeKey(node), { ...row, dropped, droppedThrough: dropped ? '' : droppedThrough });
  if (dropped) timer.delete(key);
  return loops.length + 1;
}

function dropEntry(state: MachineState, row: LoopRow, node: string): void {
  const counter = row.vectorClock.find(([name]) => name === node)?.[1];
  if (counter === undefined) return;
  state.tables.domain.tombstone.put(tombstoneKey(row.loop, node), {
    node,
    loop: row.loop,
    counter,
    clockSha256: sha256Hex(JSON.stringify(row.vectorClock)),
    droppedAtMs: state.timeMs,
  });
  const vectorClock = row.vectorClock.filter(([name]) => name !== node);
  state.tables.loop.put(row.loop, { ...row, vectorClock });
}
