/**
 * Which segments are not needed any more. Pure.
 *
 * The log may begin at any segment, as each begins with all that the log led to but the entries. CP1: it must not begin at
 * one behind whose start an older entry is replaced (that would replay as a truncation of what is not there).
 * What is committed is never replaced, so a segment that qualifies qualifies for ever.
 */
import type { LogIndex, StreamId } from '../types/ids.ts';
import type { Segment } from './segment.ts';
import type { StreamState } from './stream-state.ts';

/** A record of `segment` replaces entries from `from` on. */
export function noteTruncation(segment: Segment, stream: StreamId, from: number): void {
  segment.floors.set(stream, Math.min(from, segment.floors.get(stream) ?? from));
}

/** The stream was reset in the last of `segments`: replay from any of them leads to the same first index. */
export function noteReset(segments: readonly Segment[], stream: StreamId, first: LogIndex, keepEntries: boolean): void {
  for (const { bases } of segments) {
    const base = bases.get(stream);
    if (base !== undefined && (!keepEntries || base < first)) bases.set(stream, first);
  }
}

/** Place in `segments` where the log may begin when entries up to `upTo` are not needed; 0: nothing can go. */
export function firstNeeded(
  segments: readonly Segment[],
  states: ReadonlyMap<StreamId, StreamState>,
  upTo: ReadonlyMap<StreamId, LogIndex>,
): number {
  const firstSequence = segments[0]?.sequence ?? 0;
  let needed = segments.length - 1;
  for (const { stream, shape, index } of states.values()) {
    const next = Math.max((upTo.get(stream) ?? 0) + 1, shape.firstIndex);
    if (next > shape.lastIndex) continue;
    const { segment } = index.address(index.find(next as LogIndex));
    needed = Math.min(needed, segment - firstSequence);
  }
  const lowest = new Map<StreamId, number>();
  let begin = 0;
  for (let at = segments.length - 1; at > 0; at -= 1) {
    const segment = segments[at];
    for (const [stream, floor] of segment?.floors ?? []) {
      lowest.set(stream, Math.min(floor, lowest.get(stream) ?? floor));
    }
    if (at > needed || !mayBegin(segment, states, upTo, lowest)) continue;
    begin = at;
    break;
  }
  return begin;
}

/** CP1, and nothing that is still needed lies before it. */
function mayBegin(
  segment: Segment | undefined,
  states: ReadonlyMap<StreamId, StreamState>,
  upTo: ReadonlyMap<StreamId, LogIndex>,
  lowest: ReadonlyMap<StreamId, number>,
): boolean {
  const starts = segment?.starts ?? null;
  if (starts === null) return false;
  for (const [stream, start] of starts) {
    const covered = Math.max(upTo.get(stream) ?? 0, (states.get(stream)?.shape.firstIndex ?? 1) - 1);
    const first = segment?.bases.get(stream) ?? start;
    if (first - 1 > covered || (lowest.get(stream) ?? start) < start) return false;
  }
  return true;
}
