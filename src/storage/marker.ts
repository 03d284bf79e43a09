/**
 * `recovering.json`: the durable word that this member lost a part of its data and must not vote before it has recovered.
 * Written before anything is moved, and removed when the member has recovered.
 */
import crc32 from 'crc-32';
import type { Disk } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import type { HardState } from '../raft/types.ts';
import { memberId, type StreamId, streamId, term } from '../types/ids.ts';
import { WalError } from '../wal/types.ts';

export const MARKER_FILE = 'recovering.json';
const TEMPORARY_FILE = 'recovering.json.tmp';
const VERSION = 1;
const BYTES_MAX = 1024 * 1024;

/** What was wrong, for people. */
export interface StorageProblem {
  readonly file: string;
  readonly offset: number;
  readonly message: string;
}

export interface Marker {
  /**
   * aside: what is damaged is being moved aside. fresh: the new log is being started. running: the member runs, and has not
   * recovered yet.
   */
  readonly phase: 'aside' | 'fresh' | 'running';
  /** Folder that the old log is moved to; '' when it stays. */
  readonly log: string;
  /** Name that the store is moved to, or null when it stays. */
  readonly store: string | null;
  readonly problem: StorageProblem;
  /** What the new log begins with. */
  readonly hardStates: ReadonlyMap<StreamId, HardState>;
}

interface MarkerJson {
  readonly version: number;
  readonly phase: Marker['phase'];
  readonly log: string;
  readonly store: string | null;
  readonly problem: StorageProblem;
  readonly hardStates: readonly (readonly [number, number, string | null])[];
}

/** null: there is none. Rejects with WalError `corrupt` when it is not intact. */
export async function readMarker(disk: Disk): Promise<Marker | null> {
  if (!(await disk.list('')).includes(MARKER_FILE)) return null;
  const file = await disk.open(MARKER_FILE, { create: false });
  try {
    const text = new TextDecoder().decode(await file.read(0, BYTES_MAX));
    const found = parse(text);
    if (found === null) throw damaged(disk);
    return found;
  } finally {
    await file.close();
  }
}

function parse(text: string): Marker | null {
  const end = text.lastIndexOf('\n', text.length - 2);
  const body = text.slice(0, end + 1);
  if (end < 0 || text.slice(end + 1) !== `${sumOf(body)}\n`) return null;
  const json = JSON.parse(body) as MarkerJson;
  if (json.version !== VERSION) return null;
  const states = json.hardStates.map(
    ([stream, inTerm, name]) =>
      [streamId(stream), { term: term(inTerm), votedFor: name === null ? null : memberId(name) }] as const,
  );
  const { phase, log, store, problem } = json;
  return { phase, log, store, problem, hardStates: new Map(states) };
}

function damaged(disk: Disk): WalError {
  const label = disk.locate?.(MARKER_FILE) ?? MARKER_FILE;
  return new WalError(
    'corrupt',
    label,
    0,
    `${label} is damaged, or of another version. It says how far this member is with recovering lost data. Keep the folder as it ` +
      'is, and replace the member: `quorate member replace`.',
  );
}

/** Durable when it resolves. */
export async function writeMarker(disk: Disk, marker: Marker): Promise<void> {
  const { phase, log, store, problem, hardStates } = marker;
  const states = [...hardStates].map(([stream, state]) => [stream, state.term, state.votedFor] as const);
  const json: MarkerJson = { version: VERSION, phase, log, store, problem, hardStates: states };
  const body = `${JSON.stringify(json, null, 1)}\n`;
  await removeQuietly(disk, TEMPORARY_FILE);
  const file = await disk.open(TEMPORARY_FILE, { create: true });
  try {
    await file.write(0, new TextEncoder().encode(`${body}${sumOf(body)}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(TEMPORARY_FILE, MARKER_FILE);
  await disk.syncFolder('');
}

/** Durable when it resolves. */
export async function removeMarker(disk: Disk): Promise<void> {
  await removeQuietly(disk, MARKER_FILE);
  await disk.syncFolder('');
}

async function removeQuietly(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'not_found') throw error;
  }
}

function sumOf(text: string): string {
  return (crc32.str(text) >>> 0).toString(16).padStart(8, '0');
}
