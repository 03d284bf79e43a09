/** Placement of keys on data streams (R8). */
import { assert } from './assert.ts';
import { type StreamId, streamId } from './ids.ts';

/** Data streams of a cluster: K. Streams 1..K hold loops; stream 1 also what belongs to no loop (R8). */
export const DATA_STREAMS = 1;

/**
 * The data stream of `key` (a loop's name, a lock's resource): 1 + FNV-1a(key) mod `dataStreams`. Stable for a given
 * number of streams; every member and every client computes the same.
 */
export function streamForKey(key: string, dataStreams: number): StreamId {
  assert(Number.isSafeInteger(dataStreams) && dataStreams >= 1, 'there is at least one data stream');
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) {
    const unit = key.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return streamId(1 + ((hash >>> 0) % dataStreams));
}
