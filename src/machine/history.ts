/**
 * The event history (P4): a table by (revision, ordinal), bounded in events. When it is over its bound, the oldest revisions go,
 * whole ones only, at the same point on every replica; `firstEventRevision` marks what is left.
 */
import { must } from '../types/assert.ts';
import { type Revision, revision } from '../types/ids.ts';
import { after, eventKey, KEY_END, padded } from './keys.ts';
import type { MachineState } from './state.ts';
import type { MachineEvent } from './types.ts';

/** Appends the events of one entry. */
export function recordEvents(state: MachineState, events: readonly MachineEvent[]): void {
  if (events.length === 0) return;
  const { event } = state.tables;
  for (const happened of events) event.put(eventKey(happened.revision, happened.ordinal), happened);
  let dropped: Revision | null = null;
  while (event.size > state.limits.eventHistoryMax) {
    let key = must(event.firstKey(), 'the oldest event');
    dropped = must(event.get(key), 'the oldest event').revision;
    // From the front, one by one: an entry seldom has more than a few.
    for (const end = after(padded(dropped)); key < end; key = event.firstKey() ?? KEY_END) event.delete(key);
  }
  if (dropped !== null) state.meta = { ...state.meta, firstEventRevision: revision(dropped + 1) };
}

/** Events from `from` on: at least `limit` if there are, up to the end of the revision in which `limit` is reached. */
export function readEvents(state: MachineState, from: Revision, limit: number): readonly MachineEvent[] {
  const { event } = state.tables;
  const found = event.range(padded(from), KEY_END, limit).map(([, row]) => row);
  const last = found.at(-1);
  if (last === undefined || found.length < limit) return found;
  const prefix = padded(last.revision);
  const rest = event.range(eventKey(last.revision, last.ordinal + 1), after(prefix), event.size);
  return rest.length === 0 ? found : [...found, ...rest.map(([, row]) => row)];
}
