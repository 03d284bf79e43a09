/** What is done when a decommissioned node's entries are due (P8). */
import { must } from '../../types/assert.ts';
import { KEY_END, next } from '../keys.ts';
import type { LoopRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { TimerRow } from '../tables.ts';
import { tombstoneKey } from '../vector-clock.ts';
import { nodeKey } from './decommission.ts';
import { sha256Hex } from './snapshot.ts';

/** Loops that one step of the timer looks at. */
const LOOPS_PER_STEP = 100;

/**
 * Drops the node's entry from the next loops' clocks, each leaving a tombstone; with the last loop the timer goes. Returns how
 * much of the budget it used: the loops that were looked at, and one.
 */
export function tombstoneDue(
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
