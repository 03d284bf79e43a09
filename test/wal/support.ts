/** What the tests of the log share: entries, identities, and a way to look at what a log holds. */
import type { Clock } from '../../src/ports/clock.ts';
import type { Disk } from '../../src/ports/disk.ts';
import type { Configuration, Entry, EntryKind, HardState } from '../../src/raft/types.ts';
import { clusterId, logIndex, memberId, type StreamId, streamId, term } from '../../src/types/ids.ts';
import { RECORD_TYPE, SEGMENT_HEADER_BYTES } from '../../src/wal/record.ts';
import type { Wal, WalEvent, WalOptions } from '../../src/wal/types.ts';
import { openWal } from '../../src/wal/wal.ts';

export const STREAM: StreamId = streamId(1);
export const OTHER_STREAM: StreamId = streamId(2);
export const ALL_INDEXES = logIndex(Number.MAX_SAFE_INTEGER);

export const CONFIGURATION: Configuration = {
  voters: [memberId('a'), memberId('b'), memberId('c')],
  votersOutgoing: [],
  learners: [memberId('d')],
};

/** Time stands still unless a test moves it. */
export class ManualClock implements Clock {
  nowMs = 1_700_000_000_000;

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(): () => void {
    throw new Error('the log sets no timers');
  }

  defer(): void {
    throw new Error('the log defers nothing');
  }
}

export function options(overrides: Partial<WalOptions> = {}): WalOptions {
  return {
    clusterId: clusterId('cluster'),
    memberId: memberId('a'),
    segmentBytes: 64 * 1024,
    compressBytesMin: 1024,
    ...overrides,
  };
}

/** As a member that runs has it: what finds no room waits. */
export async function open(disk: Disk, overrides: Partial<WalOptions> = {}, events: WalEvent[] = []): Promise<Wal> {
  const wal = await openWal(disk, new ManualClock(), options({ observe: (event) => events.push(event), ...overrides }));
  wal.waitForRoom(true);
  return wal;
}

/** Everything that needs no hook to end has ended: also the sync mark that follows the last answer. */
export function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Where the records of a segment start, from its header to the first zeroes. */
export function recordOffsets(bytes: Uint8Array): number[] {
  const view = Buffer.from(bytes);
  const offsets: number[] = [];
  let at = SEGMENT_HEADER_BYTES;
  while (at + 48 <= view.length && view.readUInt32LE(at + 4) !== 0) {
    offsets.push(at);
    at += Math.ceil(view.readUInt32LE(at + 4) / 8) * 8;
  }
  return offsets;
}

/** Where the next record would start. */
export function recordsEnd(bytes: Uint8Array): number {
  const last = recordOffsets(bytes).at(-1);
  if (last === undefined) return SEGMENT_HEADER_BYTES;
  return last + Math.ceil(Buffer.from(bytes).readUInt32LE(last + 4) / 8) * 8;
}

/** The segment as a power cut leaves it that takes the sync mark at its end, which was not synced. */
export function withoutMark(bytes: Uint8Array): Uint8Array {
  const last = recordOffsets(bytes).at(-1) ?? 0;
  if (bytes[last + 16] !== RECORD_TYPE.syncMark) throw new Error('the last record is no sync mark');
  return bytes.slice().fill(0, last);
}

/** The same bytes but for one bit. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** A log with one stream in term 1, at rest. */
export async function openStarted(disk: Disk, overrides: Partial<WalOptions> = {}): Promise<Wal> {
  const wal = await open(disk, overrides);
  await wal.bootstrap(STREAM, CONFIGURATION);
  await wal.append({ stream: STREAM, hardState: hardState(1), entries: [] });
  await flush();
  return wal;
}

export function hardState(inTerm: number, votedFor: string | null = null): HardState {
  return { term: term(inTerm), votedFor: votedFor === null ? null : memberId(votedFor) };
}

export function entry(index: number, inTerm: number, text: string, kind: EntryKind = 'command'): Entry {
  return { index: logIndex(index), term: term(inTerm), kind, payload: new TextEncoder().encode(text) };
}

export function entries(from: number, to: number, inTerm: number, text = 'entry'): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, inTerm, `${text} ${from + i}`));
}

/** All that a stream holds, in a form that compares well. */
export interface Contents {
  readonly hardState: HardState;
  readonly configuration: Configuration;
  readonly entries: readonly string[];
}

export function show(list: readonly Entry[]): string[] {
  return list.map(({ index, term: inTerm, kind, payload }) => `${index}/${inTerm} ${kind} ${Buffer.from(payload)}`);
}

/** Through `read`, so that it proves that what recovery counted is there. */
export async function contents(wal: Wal, stream: StreamId = STREAM): Promise<Contents | null> {
  const recovered = wal.streams.find((candidate) => candidate.stream === stream);
  if (recovered === undefined) return null;
  const { firstIndex, lastIndex } = recovered;
  const configuration = recovered.configurations.at(-1)?.configuration ?? CONFIGURATION;
  const found = await wal.read(stream, firstIndex, ALL_INDEXES, Number.MAX_SAFE_INTEGER);
  if (found.length !== lastIndex - firstIndex + 1) throw new Error(`read ${found.length} of ${lastIndex} entries`);
  return { hardState: recovered.hardState, configuration, entries: show(found) };
}

/** Opens, looks and closes. */
export async function reopened(disk: Disk, overrides: Partial<WalOptions> = {}): Promise<Contents | null> {
  const wal = await open(disk, overrides);
  try {
    return await contents(wal);
  } finally {
    await wal.close();
  }
}
