/** O3: the offline verifier finds whatever was done to an export, and says which record it was. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type ExportRecord, lineText, parseLine } from '../../src/audit/export-file.ts';
import { auditHash } from '../../src/audit/hash.ts';
import { type AuditVerification, type VerifyOptions, verifyAudit } from '../../src/audit/verify.ts';
import { CLUSTER, type Exported, fileOf, overridden, People, recordsOf } from './exported.ts';

const people = new People();
const bench = overridden(people);
const exported = recordsOf(bench);
const file = fileOf(exported);
const lines = file.toString('utf8').split('\n').slice(0, -1);

const verify = (bytes: Uint8Array, options?: VerifyOptions): Promise<AuditVerification> =>
  verifyAudit([bytes], options);
const verifyLines = (some: readonly string[]) => verify(Buffer.from(some.map((line) => `${line}\n`).join(''), 'utf8'));
const told = ({ problems }: AuditVerification): string => problems.map(({ message }) => message).join('; ');

/** The export as somebody would write it who can do everything but sign. */
function rewritten(change: (records: ExportRecord[]) => void): Buffer {
  const records = exported.records.map((record) => ({ ...record }));
  change(records);
  return fileOf(chained(exported.previousHash, records));
}

/** With the hashes that the records have now. */
function chained(previousHash: string, records: readonly ExportRecord[]): Exported {
  let hash = previousHash;
  const linked = records.map((record) => {
    hash = auditHash(hash, record.position, record);
    return { ...record, hash };
  });
  return { previousHash, records: linked };
}

describe('O3: a sound export', () => {
  test('is sound, and its signatures verify', async () => {
    expect(await verify(file)).toEqual({
      sound: true,
      header: { clusterId: CLUSTER, firstPosition: 1, previousHash: '0'.repeat(64) },
      records: 7,
      lastPosition: 7,
      finalHash: exported.records.at(-1)?.hash,
      // Two of the override, two of the change of the roster.
      signatures: 4,
      roster: {
        supervisors: people.add('ada', 'bob').map(({ name, publicKey }) => [name, publicKey]),
        signaturesNeeded: 0,
      },
      problems: [],
      problemCount: 0,
    });
  });

  test('however it is cut into pieces', async () => {
    for (const size of [1, 7, 100, 1_000]) {
      const pieces = [];
      for (let at = 0; at < file.length; at += size) pieces.push(file.subarray(at, at + size));
      expect((await verifyAudit(pieces)).sound).toBe(true);
    }
  });

  test('of the middle, and of nothing', async () => {
    const middle = fileOf(recordsOf(bench, 4), 4);
    expect(await verify(middle)).toMatchObject({ sound: true, records: 4, lastPosition: 7 });
    const none = fileOf({ previousHash: 'a'.repeat(64), records: [] }, 8);
    expect(await verify(none)).toMatchObject({ sound: true, records: 0, lastPosition: 7, finalHash: 'a'.repeat(64) });
  });

  test('each line has one spelling', () => {
    for (const line of lines) {
      const parsed = parseLine(line);
      expect(parsed !== null && lineText(parsed)).toBe(line);
      expect(parseLine(line.replace('{', '{ '))).toBeNull();
    }
  });
});

describe('O3: damage', () => {
  test.each([0x01, 0x20])('every byte, changed by %i', { timeout: 120_000 }, async (bit) => {
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed.writeUInt8(changed.readUInt8(at) ^ bit, at);
      const { sound, problems } = await verify(changed);
      expect(sound, `byte ${at}`).toBe(false);
      // A record is named by its line, or by the next one where a line feed was changed. The first line has no hash of its own.
      const line = file.subarray(0, at).toString('latin1').split('\n').length;
      const near = problems.some((one) => Math.abs(one.line - line) <= 1);
      expect(near || line === 1, `byte ${at} in line ${line}`).toBe(true);
    }
  });

  test('every byte left out, and every length cut off', { timeout: 120_000 }, async () => {
    for (let at = 0; at < file.length; at++) {
      const without = Buffer.concat([file.subarray(0, at), file.subarray(at + 1)]);
      expect((await verify(without)).sound, `without byte ${at}`).toBe(false);
      expect((await verify(file.subarray(0, at))).sound, `cut at ${at}`).toBe(false);
    }
    expect(told(await verify(file.subarray(0, -1)))).toContain('changed');
    expect((await verify(Buffer.concat([file, Buffer.from('\n')]))).sound).toBe(false);
  });

  test('every record left out is named', async () => {
    for (const [i] of exported.records.entries()) {
      const result = await verifyLines(lines.filter((_, at) => at !== i + 1));
      expect(told(result)).toContain(`record ${i + 1} is missing`);
      expect(result.problems.map(({ position }) => position)).toEqual([i + 1]);
    }
    expect(told(await verifyLines(lines.slice(1)))).toContain('the first line is missing');
    expect(told(await verifyLines(lines.slice(0, -1)))).toContain('cut off');
  });

  test('every two records that change places are found, and neither is called missing', async () => {
    for (let a = 1; a <= 7; a++) {
      for (let b = a + 1; b <= 7; b++) {
        const swapped = [...lines];
        [swapped[a], swapped[b]] = [lines[b] as string, lines[a] as string];
        const result = await verifyLines(swapped);
        expect(result.problems.map(({ position }) => position)).toContain(a);
        expect(told(result)).toContain('it was moved');
        expect(told(result)).not.toContain('missing');
      }
    }
  });

  test('a record that is there twice', async () => {
    for (let i = 1; i <= 7; i++) {
      const twice = [...lines.slice(0, i + 1), ...lines.slice(i)];
      expect(told(await verifyLines(twice))).toContain(`record ${i} comes after record ${i}`);
    }
  });

  test('a record that was changed together with its hash: it and no other is named', async () => {
    const records = exported.records.map((record) => ({ ...record }));
    const [, second] = records;
    if (second === undefined) throw new Error('there is a second record');
    records[1] = { ...second, caller: 'mallory' };
    expect((await verify(fileOf({ ...exported, records }))).problems).toMatchObject([{ line: 3, position: 2 }]);
    records[1] = { ...second, hash: 'b'.repeat(64) };
    expect((await verify(fileOf({ ...exported, records }))).problems).toMatchObject([{ line: 3, position: 2 }]);
  });

  test('lines after the last, a second export, and a line without an end', async () => {
    expect(told(await verifyLines([...lines, ...lines]))).toContain('comes after the last line');
    expect(told(await verifyLines([lines[0] ?? '', ...lines]))).toContain('another export begins');
    const long = Buffer.alloc(3 * 1024 * 1024, 'x');
    expect((await verifyAudit([long, long])).sound).toBe(false);
    expect((await verifyAudit([])).problems).toMatchObject([{ message: expect.stringContaining('cut off') }]);
  });

  test('problems are bounded, their number is not', async () => {
    const result = await verifyLines(Array.from({ length: 500 }, () => 'x'));
    expect(result.problems.length).toBe(100);
    expect(result.problemCount).toBe(501);
  });
});

describe('O2, O3: signatures offline', () => {
  const at = (records: readonly ExportRecord[], command: string): ExportRecord => {
    const found = records.findLast((record) => record.command === command && record.outcome === 'OK');
    if (found === undefined) throw new Error(`no ${command}`);
    return found;
  };
  const edit = (command: string, change: (detail: Record<string, unknown>) => void): Buffer =>
    rewritten((records) => {
      const record = at(records, command);
      const detail = JSON.parse(record.detail) as Record<string, unknown>;
      change(detail);
      records[record.position - 1] = { ...record, detail: JSON.stringify(detail) };
    });

  test('an export that was written anew from a changed record on is caught by what people signed', async () => {
    const wrong: readonly [string, (detail: Record<string, unknown>) => void][] = [
      ['another action', (detail) => Object.assign(detail, { action: 'resume' })],
      ['another trace', (detail) => Object.assign(detail, { target: 'other' })],
      ['another expiry', (detail) => Object.assign(detail, { expiresAtMs: 1 })],
      ['another nonce', (detail) => Object.assign(detail, { nonce: 'f'.repeat(32) })],
    ];
    for (const [what, change] of wrong) {
      const result = await verify(edit('override', change));
      expect(result.problems.length, what).toBe(2);
      expect(told(result), what).toContain('the signature of ada is not of what the record says');
    }
    const changes = [['mallory', 'a'.repeat(64)]];
    expect(told(await verify(edit('changeSupervisors', (detail) => Object.assign(detail, { changes }))))).toContain(
      'the signature of bob',
    );
  });

  test('too few signers, and strangers', async () => {
    const fewer = edit('override', (detail) => {
      detail.signatures = (detail.signatures as unknown[]).slice(0, 1);
    });
    expect(told(await verify(fewer))).toContain('1 supervisors signed, 2 were needed');
    const stranger = edit('override', (detail) => {
      const [[, ...ada], cyd] = detail.signatures as [string[], string[]];
      detail.signatures = [['mallory', ...ada], cyd];
    });
    expect(told(await verify(stranger))).toContain('mallory signed, but was not on the roster');
    expect(told(await verify(edit('override', (detail) => Object.assign(detail, { signatures: 'none' }))))).toContain(
      'not what Quorate writes',
    );
  });

  test('an export that goes on from a sound one is held against the roster of that one', async () => {
    const cut = (records: readonly ExportRecord[], from: number, to: number): Buffer => {
      const previousHash = records[from - 2]?.hash ?? exported.previousHash;
      return fileOf({ previousHash, records: records.slice(from - 1, to) }, from);
    };
    const { records } = exported;
    const position = at(records, 'override').position;
    const whole = cut(records, 1, position - 1);
    const before = await verify(whole);
    expect(before.sound).toBe(true);
    expect(await verify(cut(records, position, records.length), { before })).toMatchObject({
      sound: true,
      roster: { supervisors: [{ 0: 'ada' }, { 0: 'bob' }] },
    });
    // One signature less than it took, in an export that is whole by itself.
    const forged = chained(
      exported.previousHash,
      records.map((record) => {
        if (record.position !== position) return record;
        const detail = JSON.parse(record.detail) as { signatures: unknown[] };
        return { ...record, detail: JSON.stringify({ ...detail, signatures: detail.signatures.slice(0, 1) }) };
      }),
    ).records;
    const rest = cut(forged, position, forged.length);
    expect(told(await verify(rest, { before }))).toContain('1 supervisors signed, 2 were needed');
    // By itself, and after another one than that before it, nothing is known of the roster.
    expect(await verify(rest)).toMatchObject({ sound: true, roster: null });
    const gap = await verify(cut(records, 1, position - 2));
    expect(await verify(rest, { before: gap })).toMatchObject({ roster: null });
    expect(await verify(rest, { before: { ...before, sound: false } })).toMatchObject({ roster: null });
  });

  test('the number that was set counts, as it was signed', async () => {
    const bench = overridden(people);
    const soon = bench.timeMs + 60_000;
    bench.done('supervisorsChanged', people.roster([], ['ada'], soon, 2));
    bench.done('supervisorsChanged', people.roster(people.add('dan'), ['ada', 'bob'], soon));
    const whole = recordsOf(bench);
    expect((await verify(fileOf(whole))).sound).toBe(true);
    const changed = (change: (detail: Record<string, unknown>) => void): Promise<AuditVerification> => {
      const records = whole.records.map((record) => {
        const detail =
          record.command === 'changeSupervisors' ? (JSON.parse(record.detail) as Record<string, unknown>) : null;
        if (detail !== null) change(detail);
        return { ...record, detail: detail === null ? record.detail : JSON.stringify(detail) };
      });
      return verify(fileOf(chained(whole.previousHash, records)));
    };
    const set = (to: unknown) => (detail: Record<string, unknown>) => {
      if (detail.signaturesNeeded === 2) detail.signaturesNeeded = to;
    };
    expect(told(await changed(set(2)))).toBe('');
    expect(told(await changed(set(1)))).toContain('the signature of ada is not of what the record says');
    expect(told(await changed(set('2')))).toContain('not what Quorate writes');
    // By the rule one of two would do.
    const fewer = await changed((detail) => {
      if (JSON.stringify(detail.changes).includes('dan'))
        detail.signatures = (detail.signatures as unknown[]).slice(0, 1);
    });
    expect(told(fewer)).toContain('1 supervisors signed, 2 were needed');
  });

  test('of another cluster; a cluster that it was restored from may be named', async () => {
    const moved = fileOf(exported, 1, 'copy');
    expect(told(await verify(moved))).toContain('the signature of ada');
    expect((await verify(moved, { formerClusterIds: [CLUSTER] })).sound).toBe(true);
  });
});

test('the checksum of the file is that of every line but the last', () => {
  const trailer = parseLine(lines.at(-1) ?? '');
  const above = lines.slice(0, -1).map((line) => `${line}\n`);
  const sha256 = createHash('sha256').update(above.join(''), 'utf8').digest('hex');
  expect(trailer).toMatchObject({ kind: 'trailer', records: 7, sha256 });
});
