/**
 * A log looked at offline, for `quorate wal verify|dump|repair` (W4). Nothing here writes to the log it looks at, and a bad
 * record does not end the look: every one is named. The member must not be running on the folder.
 */
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Entry, HardState } from '../raft/types.ts';
import { logIndex, type StreamId, streamId } from '../types/ids.ts';
import { newerHardState } from './hard-state-copy.ts';
import { walkSegment } from './inspect-walk.ts';
import { WalReader } from './reader.ts';
import { asBuffer, decodeSegmentHeader, RECORD_TYPE, type ScannedRecord, type SegmentHeader } from './record.ts';
import { decodeEntries, decodeHardState, decodeMembership, decodeSnapshotMark } from './record-body.ts';
import { readLog } from './recovery.ts';
import { LOG_FOLDER, labelOf, segmentPath, segmentSequence } from './segment.ts';
import { type RecoveredStream, WalError, type WalOptions } from './types.ts';
import { openWal } from './wal.ts';

/** Payload bytes that a repair copies at a time. */
const COPY_BYTES = 4 * 1024 * 1024;
/** Of one gap. */
const MISSING_NAMED_MAX = 64;

export type FindingKind =
  /** A segment that should be there is not. */
  | 'missing'
  /** The header of a segment is not intact, or is another segment's. */
  | 'header'
  /** A record is not intact, and others follow it. */
  | 'record'
  /** An intact record that does not continue the one before it. */
  | 'chain'
  /** Each record is intact, but together they say what can not be. */
  | 'meaning'
  /** Another member's or cluster's, or written by a newer version. */
  | 'other'
  /** The end of the log is not whole. As far as can be told a crash did it: the next start cuts it. */
  | 'torn'
  /** The end of the file is gone; nothing in the log says that there was more. */
  | 'short';

export interface Finding {
  readonly file: string;
  readonly offset: number;
  readonly kind: FindingKind;
  /** false: the member starts with it, and nothing that it acknowledged is known to be missing. */
  readonly bad: boolean;
  /** A sentence for people. */
  readonly message: string;
}

export interface SegmentSummary {
  readonly file: string;
  /** null: the header is not intact. */
  readonly header: SegmentHeader | null;
  readonly bytes: number;
  readonly records: number;
}

export interface Verification {
  /** No finding is bad: the member would start on this log. */
  readonly sound: boolean;
  readonly segments: readonly SegmentSummary[];
  readonly findings: readonly Finding[];
  /** What the log says, up to the first bad place when it is not sound. */
  readonly streams: readonly RecoveredStream[];
}

export type InspectOptions = Pick<WalOptions, 'clusterId' | 'memberId' | 'decodeConfiguration'>;

interface LoadedSegment {
  readonly sequence: number;
  readonly label: string;
  readonly bytes: Buffer;
  readonly header: ReturnType<typeof decodeSegmentHeader>;
}

async function* loadSegments(disk: Disk): AsyncGenerator<LoadedSegment> {
  const names = await disk.list(LOG_FOLDER);
  const sequences = names.flatMap((name) => segmentSequence(name) ?? []).sort((a, b) => a - b);
  for (const sequence of sequences) {
    const path = segmentPath(sequence);
    const file = await disk.open(path, { create: false });
    try {
      const bytes = asBuffer(await file.read(0, await file.size()));
      yield { sequence, label: labelOf(disk, path), bytes, header: decodeSegmentHeader(bytes) };
    } finally {
      await file.close();
    }
  }
}

// ---------------------------------------------------------------------------------------------- verify

/** Walks every segment and record. Rejects only with errors of the disk, and with what `onSegment` (before each) throws. */
export async function verifyLog(
  disk: Disk,
  options: InspectOptions,
  onSegment: (label: string) => void = () => undefined,
): Promise<Verification> {
  const findings: Finding[] = [];
  const segments: SegmentSummary[] = [];
  let previous: number | null = null;
  for await (const segment of loadSegments(disk)) {
    onSegment(segment.label);
    noteMissing(disk, (previous ?? segment.sequence - 1) + 1, segment.sequence, findings);
    previous = segment.sequence;
    segments.push(verifySegment(segment, findings));
  }
  const { streams, problem } = await readLog(disk, options);
  if (problem !== null) noteProblem(problem, findings);
  // What start-up takes for a torn tail is one.
  const judged = problem === null ? findings.map(forgiven) : findings;
  return {
    sound: !judged.some(({ bad }) => bad),
    segments,
    findings: judged,
    streams: [...streams.values()].sort((a, b) => a.stream - b.stream).map((state) => state.recovered()),
  };
}

/** Sequences `from` (inclusive) to `to` (exclusive) are not there. A file with a stray name may claim that billions are missing. */
function noteMissing(disk: Disk, from: number, to: number, findings: Finding[]): void {
  const missing = (sequence: number, message: string): void => {
    findings.push({ file: labelOf(disk, segmentPath(sequence)), offset: 0, kind: 'missing', bad: true, message });
  };
  const named = Math.min(to, from + MISSING_NAMED_MAX);
  for (let gone = from; gone < named; gone += 1) missing(gone, 'this segment is missing');
  if (named < to) missing(named, `this segment is missing, and the ${to - named - 1} after it`);
}

function verifySegment(segment: LoadedSegment, findings: Finding[]): SegmentSummary {
  const { label, bytes, header, sequence } = segment;
  const found = (offset: number, kind: FindingKind, message: string, bad = true): void => {
    findings.push({ file: label, offset, kind, bad, message });
  };
  const summary = { file: label, bytes: bytes.length, records: 0, header: null };
  if (header.kind === 'version')
    found(0, 'other', `it has format version ${header.version}, which is newer than this one`);
  if (header.kind === 'bad') found(0, 'header', `${header.reason}; its records can not be told from other bytes`);
  if (header.kind !== 'good') return summary;
  if (header.header.sequence !== sequence)
    found(0, 'header', `it is segment ${header.header.sequence} under another name`);
  let records = 0;
  for (const step of walkSegment(bytes, header.tag, header.header.recycled)) {
    if (step.kind === 'record') records += 1;
    else if (step.kind === 'chain') found(step.offset, 'chain', 'the record does not continue the one before it');
    else if (step.kind === 'bad')
      found(step.offset, 'record', `${step.problem} (${step.bytes} bytes up to the next one)`);
    else if (step.written || step.inBatch) found(step.offset, 'torn', 'the last batch is not whole');
  }
  const missing = header.header.preparedBytes - bytes.length;
  if (missing > 0) found(bytes.length, 'short', `the file is ${missing} bytes shorter than it was made`, false);
  return { ...summary, header: header.header, records };
}

/** What start-up says, unless it was found already. */
function noteProblem(problem: WalError, findings: Finding[]): void {
  const { file, offset } = problem;
  if (findings.some((finding) => finding.file === file && finding.offset === offset && finding.bad)) return;
  const kind = problem.problem === 'foreign' || problem.problem === 'version' ? 'other' : 'meaning';
  findings.push({ file, offset, kind, bad: true, message: problem.message });
}

/** Start-up has judged the log as sound: what is not intact is torn. */
function forgiven(finding: Finding): Finding {
  if (finding.kind !== 'torn' && finding.kind !== 'record' && finding.kind !== 'chain') return finding;
  return { ...finding, kind: 'torn', bad: false, message: `${finding.message}; the next start cuts it` };
}

// ---------------------------------------------------------------------------------------------- dump

export interface DumpedRecord {
  readonly file: string;
  readonly offset: number;
  /** null: `offset` to the next one is no intact record. */
  readonly type: keyof typeof RECORD_TYPE | 'unknown' | null;
  readonly bytes: number;
  readonly stream: number;
  readonly term: number;
  readonly firstIndex: number;
  readonly lastOfBatch: boolean;
  /** Everything in the segment below this offset was durable when the record was written. */
  readonly durable: number;
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  /** Of a membership record or a snapshot mark: see their types. Otherwise null. */
  readonly content: unknown;
}

/** Every record of every segment, in order of the files. Segments without an intact header are passed over. */
export async function* dumpLog(disk: Disk): AsyncGenerator<DumpedRecord> {
  for await (const { label, bytes, header } of loadSegments(disk)) {
    if (header.kind !== 'good') continue;
    for (const step of walkSegment(bytes, header.tag, header.header.recycled)) {
      if (step.kind === 'record') yield dumped(label, step.record);
      else if (step.kind === 'bad') yield { ...NOTHING, file: label, offset: step.offset, bytes: step.bytes };
    }
  }
}

const NOTHING: Omit<DumpedRecord, 'file' | 'offset' | 'bytes'> = {
  type: null,
  stream: 0,
  term: 0,
  firstIndex: 0,
  lastOfBatch: false,
  durable: 0,
  hardState: null,
  entries: [],
  content: null,
};

function dumped(file: string, record: ScannedRecord): DumpedRecord {
  const { offset, end, stream, term, firstIndex, durable, flags, type } = record;
  const names = Object.keys(RECORD_TYPE) as (keyof typeof RECORD_TYPE)[];
  const content =
    type === RECORD_TYPE.membership
      ? decodeMembership(record)
      : type === RECORD_TYPE.snapshotMark
        ? decodeSnapshotMark(record)
        : null;
  return {
    ...{ file, offset, bytes: end - offset, stream, term, firstIndex, durable, content },
    type: names.find((name) => RECORD_TYPE[name] === type) ?? 'unknown',
    lastOfBatch: (flags & 2) !== 0,
    hardState: type === RECORD_TYPE.hardState ? decodeHardState(record) : null,
    entries: type === RECORD_TYPE.entries ? (decodeEntries(record) ?? []) : [],
  };
}

/** Newest hard state of each stream that any intact record of the log tells, damaged or not. null: two of them contradict. */
export async function newestHardStates(disk: Disk): Promise<ReadonlyMap<StreamId, HardState> | null> {
  const newest = new Map<StreamId, HardState>();
  for await (const { stream, hardState } of dumpLog(disk)) {
    if (hardState === null) continue;
    const known = newest.get(streamId(stream));
    const next = known === undefined ? hardState : newerHardState(known, hardState);
    if (next === null) return null;
    newest.set(streamId(stream), next);
  }
  return newest;
}

// ---------------------------------------------------------------------------------------------- repair

export interface Repair {
  /** Where the original stops being readable; null: all of it was. */
  readonly problem: WalError | null;
  /** What was written. */
  readonly streams: readonly RecoveredStream[];
}

/**
 * Writes a sound log with what the original says up to its first bad place into `target`, an empty folder. The original is not
 * touched. A member that starts on the result may have forgotten votes and entries that it acknowledged: it must come back
 * as a recovering or replaced one. Rejects with WalError or the disk's error.
 */
export async function repairLog(source: Disk, target: Disk, clock: Clock, options: WalOptions): Promise<Repair> {
  await target.makeFolder(LOG_FOLDER);
  const taken = (await target.list(LOG_FOLDER))[0];
  if (taken !== undefined) {
    const label = labelOf(target, LOG_FOLDER);
    throw new WalError(
      'foreign',
      label,
      0,
      `${label} is not empty (${taken}): name a new folder for the repaired log.`,
    );
  }
  const { streams, segments, problem } = await readLog(source, options);
  const { observe: _, hardStateCopy: __, ...plain } = options;
  const wal = await openWal(target, clock, plain);
  const reader = new WalReader(source, segments);
  try {
    for (const state of [...streams.values()].sort((a, b) => a.stream - b.stream)) {
      const { stream, hardState } = state;
      const { baseTerm, firstIndex, lastIndex, configurations } = state.recovered();
      const configuration = configurations[0] ?? state.configuration;
      await wal.start(stream, hardState, { index: logIndex(firstIndex - 1), term: baseTerm, configuration });
      for (let from = firstIndex; from <= lastIndex; ) {
        const request = { stream, from, to: lastIndex, bytesMax: COPY_BYTES, replacedFrom: Number.POSITIVE_INFINITY };
        const entries = await reader.read(state, request);
        await wal.append({ stream, hardState: null, entries });
        from = logIndex(from + entries.length);
      }
    }
  } finally {
    await reader.close();
    await wal.close();
  }
  return { problem, streams: [...streams.values()].map((state) => state.recovered()) };
}
