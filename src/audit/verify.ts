/**
 * The offline verifier of an export (O3). It trusts nothing but SHA-256 and Ed25519, and names every record that was changed,
 * removed, repeated or moved. What it cannot see: an export that somebody wrote anew from its first changed record to its end. For
 * that, compare the final hash with one that was noted elsewhere, or with the export that follows.
 */
import { createHash } from 'node:crypto';
import { type ExportHeader, type ExportLine, type ExportRecord, type ExportTrailer, parseLine } from './export-file.ts';
import { auditHash } from './hash.ts';
import { ROSTER_START, type RosterState, SignatureChecks } from './signed.ts';

/** A record with 64 signatures takes about 20 kB. */
const LINE_BYTES_MAX = 1024 * 1024;
/** More are counted, not told. */
const PROBLEMS_MAX = 100;

export interface AuditProblem {
  /** Line of the file, from 1. */
  readonly line: number;
  /** Of the record that it is about; null where that is not known. */
  readonly position: number | null;
  readonly message: string;
}

export interface AuditVerification {
  readonly sound: boolean;
  readonly header: ExportHeader | null;
  readonly records: number;
  /** Position of the last record; one below the first when there is none. */
  readonly lastPosition: number;
  readonly finalHash: string;
  /** Signatures of supervisors that verified. */
  readonly signatures: number;
  /** After the last record; null where it is not known: it was held against what was signed only if it is. */
  readonly roster: RosterState | null;
  readonly problems: readonly AuditProblem[];
  readonly problemCount: number;
}

export interface VerifyOptions {
  /** Clusters that this one was restored from: their overrides were signed for them. */
  readonly formerClusterIds?: readonly string[];
  /** Of the export before: where this one goes on from it and it was sound, its roster counts here. */
  readonly before?: AuditVerification | null;
  readonly onProgress?: (bytes: number) => void;
}

/** Reads to the end whatever it finds. Rejects only when `chunks` does. */
export async function verifyAudit(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: VerifyOptions = {},
): Promise<AuditVerification> {
  const verifier = new Verifier(options);
  let rest: Buffer = Buffer.alloc(0);
  let bytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    const data = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
      verifier.line(data.subarray(start, end + 1));
      start = end + 1;
    }
    rest = data.subarray(start);
    if (rest.length > LINE_BYTES_MAX) {
      verifier.line(rest);
      rest = Buffer.alloc(0);
    }
    bytes += chunk.length;
    options.onProgress?.(bytes);
  }
  if (rest.length > 0) verifier.line(rest);
  return verifier.end();
}

class Verifier {
  readonly #options: VerifyOptions;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  readonly #sha256 = createHash('sha256');
  readonly #problems: AuditProblem[] = [];
  #problemCount = 0;
  #line = 0;
  #header: ExportHeader | null = null;
  #trailer: ExportTrailer | null = null;
  #signatures: SignatureChecks | null = null;
  #records = 0;
  /** One after the highest position so far; null before the first. */
  #expected: number | null = null;
  /** What the hash before the next record may be: as it was stated, and as it should have been. Empty: not known. */
  #before: readonly string[] = [];
  /** Positions that were jumped over, and the line where. */
  readonly #gaps: { readonly line: number; readonly from: number; readonly to: number }[] = [];
  readonly #late = new Set<number>();

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  line(bytes: Uint8Array): void {
    this.#line += 1;
    if (this.#trailer !== null) {
      this.#report(null, 'comes after the last line; it does not belong to the export');
      return;
    }
    const line = this.#parse(bytes);
    if (line?.kind !== 'trailer') this.#sha256.update(bytes);
    if (line === null) this.#unreadable();
    else if (line.kind === 'trailer') this.#end(line);
    else if (line.kind === 'header') this.#begin(line);
    else this.#record(line);
  }

  end(): AuditVerification {
    if (this.#trailer === null) {
      this.#line += 1;
      this.#report(null, 'the last line is missing: the export is cut off');
    }
    this.#reportMissing();
    const first = this.#header?.firstPosition ?? 1;
    return {
      sound: this.#problemCount === 0,
      header: this.#header,
      records: this.#records,
      lastPosition: (this.#expected ?? first) - 1,
      finalHash: this.#trailer?.finalHash ?? this.#before[0] ?? '',
      signatures: this.#signatures?.verified ?? 0,
      roster: this.#signatures?.roster ?? null,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }

  #parse(bytes: Uint8Array): ExportLine | null {
    // Each line has its line feed, the last one too.
    if (bytes.at(-1) !== 10 || bytes.length > LINE_BYTES_MAX) return null;
    try {
      return parseLine(this.#decoder.decode(bytes.subarray(0, -1)));
    } catch {
      return null;
    }
  }

  #unreadable(): void {
    const where = this.#line > 1 && this.#expected !== null ? this.#expected : null;
    const what = where === null ? 'it is not the first line of an export' : 'it is not a line that Quorate wrote';
    this.#report(where, `${what}: it was changed`);
    // Whatever stood there counts as one record.
    if (this.#expected !== null) this.#expected += 1;
    this.#before = [];
    this.#signatures?.forgetRoster();
  }

  #begin(header: ExportHeader): void {
    if (this.#line > 1) {
      this.#report(null, 'another export begins here; verify each by itself');
      return;
    }
    const { clusterId, firstPosition, previousHash } = header;
    this.#header = { clusterId, firstPosition, previousHash };
    this.#expected = firstPosition;
    this.#before = [previousHash];
    const clusterIds = [clusterId, ...(this.#options.formerClusterIds ?? [])];
    this.#signatures = new SignatureChecks(clusterIds, this.#rosterBefore(this.#header));
  }

  #rosterBefore({ clusterId, firstPosition, previousHash }: ExportHeader): RosterState | null {
    if (firstPosition === 1) return ROSTER_START;
    const { before = null } = this.#options;
    if (before === null || !before.sound || before.header?.clusterId !== clusterId) return null;
    return before.lastPosition + 1 === firstPosition && before.finalHash === previousHash ? before.roster : null;
  }

  #record(record: ExportRecord): void {
    const { position, hash } = record;
    if (this.#line === 1) this.#report(null, 'the first line is missing: it says which cluster this is of');
    this.#records += 1;
    const expected = this.#expected ?? position;
    if (position < expected) {
      this.#late.add(position);
      this.#report(
        position,
        `record ${position} comes after record ${expected - 1}: it was moved, or it is there twice`,
      );
      return;
    }
    if (position > expected) {
      this.#gaps.push({ line: this.#line, from: expected, to: position - 1 });
      this.#before = [];
      this.#signatures?.forgetRoster();
    }
    const right = this.#before.map((before) => auditHash(before, position, record));
    if (right.length > 0 && !right.includes(hash)) {
      this.#report(position, `record ${position} was changed: its hash does not fit what it says and what came before`);
    }
    for (const problem of this.#signatures?.check(record) ?? [])
      this.#report(position, `record ${position}: ${problem}`);
    this.#before = [...new Set([hash, ...right])];
    this.#expected = position + 1;
  }

  #end(trailer: ExportTrailer): void {
    this.#trailer = trailer;
    if (this.#header === null && this.#line === 1) this.#report(null, 'the first line is missing');
    const first = this.#header?.firstPosition ?? this.#expected ?? 1;
    const end = first + trailer.records;
    if (this.#expected !== null && end > this.#expected) {
      this.#gaps.push({ line: this.#line, from: this.#expected, to: end - 1 });
    } else if (trailer.records !== this.#records && !this.#told()) {
      this.#report(null, `it tells of ${trailer.records} records, there are ${this.#records}`);
    }
    const [last] = this.#before;
    if (last !== undefined && last !== trailer.finalHash && (this.#expected ?? end) >= end) {
      this.#report(null, 'the final hash is not that of the last record: one of them was changed');
    }
    if (this.#sha256.digest('hex') !== trailer.sha256 && !this.#told()) {
      this.#report(null, 'the checksum of the file is not right: a line above, or this one, was changed');
    }
  }

  /** Whatever was found above shows in the last line, too: that is told only where nothing else tells it. */
  #told(): boolean {
    return this.#problemCount > 0 || this.#gaps.length > 0;
  }

  /** What was jumped over and did not come later. */
  #reportMissing(): void {
    for (const { line, from, to } of this.#gaps) {
      let missing = to - from + 1;
      for (const position of this.#late) if (position >= from && position <= to) missing -= 1;
      if (missing === 0) continue;
      const which =
        from === to ? `record ${from} is missing` : `${missing} of the records ${from} to ${to} are missing`;
      this.#report(from, which, line);
    }
  }

  #report(position: number | null, message: string, line = this.#line): void {
    this.#problemCount += 1;
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ line, position, message });
  }
}
