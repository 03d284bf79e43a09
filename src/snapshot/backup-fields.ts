/** What the header and the trailer of a backup say, as JSON. */
import type { SnapshotMark } from '../raft/types.ts';
import { asCount, markFields, parseMark, parseObject } from '../store/layout.ts';
import { type ClusterId, clusterId, isName, type MemberId, memberId, type StreamId, streamId } from '../types/ids.ts';

/** Where a backup comes from. */
export interface BackupOrigin {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly stream: StreamId;
  /** Wall clock of the member, milliseconds since the Unix epoch; for people. */
  readonly createdAtMs: number;
  /** Of the product that wrote it; for people. */
  readonly version: string;
}

export interface BackupHeader extends BackupOrigin {
  readonly mark: SnapshotMark;
}

export interface BackupTotals {
  readonly rows: number;
  /** Of the rows, before compression. */
  readonly bytes: number;
  readonly stateHash: string;
}

export interface BackupTrailer extends BackupTotals {
  /** Of the file up to the trailer. */
  readonly sha256: string;
}

const VERSION_LENGTH_MAX = 64;

export function encodeHeader({ mark, ...origin }: BackupHeader): Uint8Array {
  return Buffer.from(JSON.stringify({ ...origin, mark: markFields(mark) }));
}

/** null: not a header. */
export function decodeHeader(payload: Buffer): BackupHeader | null {
  const fields = parseObject(payload.toString('utf8'));
  const mark = parseMark(fields?.mark);
  const [stream, createdAtMs] = [asCount(fields?.stream), asCount(fields?.createdAtMs)];
  const [cluster, member, version] = [fields?.clusterId, fields?.memberId, fields?.version];
  if (mark === null || stream === null || createdAtMs === null) return null;
  if (typeof cluster !== 'string' || !isName(cluster) || typeof member !== 'string' || !isName(member)) return null;
  if (typeof version !== 'string' || version.length > VERSION_LENGTH_MAX) return null;
  return {
    clusterId: clusterId(cluster),
    memberId: memberId(member),
    stream: streamId(stream),
    createdAtMs,
    version,
    mark,
  };
}

export function encodeTrailer(trailer: BackupTrailer): Uint8Array {
  return Buffer.from(JSON.stringify(trailer));
}

/** null: not a trailer. */
export function decodeTrailer(payload: Buffer): BackupTrailer | null {
  const fields = parseObject(payload.toString('utf8'));
  const [rows, bytes] = [asCount(fields?.rows), asCount(fields?.bytes)];
  const [stateHash, sha256] = [fields?.stateHash, fields?.sha256];
  if (rows === null || bytes === null || typeof stateHash !== 'string' || typeof sha256 !== 'string') return null;
  return { rows, bytes, stateHash, sha256 };
}
