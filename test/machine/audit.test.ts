/** O3: the audit log in the replicated state. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { auditHash } from '../../src/audit/hash.ts';
import { hashAfter } from '../../src/machine/audit/chain.ts';
import { AUDIT_HASH_START } from '../../src/machine/audit/record-text.ts';
import { subjectOf } from '../../src/machine/audit/subject.ts';
import type { AuditBlockRow } from '../../src/machine/audit/types.ts';
import { auditFrom } from '../../src/machine/audit/view.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { AUDIT_BLOCK_RECORDS, AUDIT_BLOCKS_MAX, AUDIT_SUBJECT_LENGTH_MAX } from '../../src/types/limits.ts';
import { command } from '../codec/arbitraries.ts';
import { at, Bench, commitBody, progressBody, session } from './kit.ts';

function audited(): Bench {
  const bench = new Bench();
  bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
  return bench;
}

const blocksOf = ({ machine }: Bench): readonly AuditBlockRow[] =>
  machine.rows.audit.range('', '\u007f', AUDIT_BLOCKS_MAX + 1).map(([, block]) => block);
const recordsOf = (bench: Bench) => blocksOf(bench).flatMap(({ records }) => records);

/** Rejected, and cheap: the log does not care. */
const nothing: CommandBody = { kind: 'createLoop', loop: 'not a name', plan: '' };

describe('O3: what is recorded', () => {
  test('who, what, when, and the outcome; rejections too', () => {
    const bench = audited();
    bench.createLoop();
    const { token } = bench.begin('ANALYZE', { caller: 'ada', traceId: 't-1' });
    bench.timeMs += 5;
    bench.rejected(commitBody('ANALYZE', token + 1), { caller: 'bob', traceId: '' });
    expect(recordsOf(bench)).toEqual([
      expect.objectContaining({ index: 2, command: 'createLoop', subject: 'loop', outcome: 'OK', detail: '' }),
      {
        index: 3,
        timeMs: bench.timeMs - 5,
        caller: 'ada',
        traceId: 't-1',
        command: 'beginPhase',
        subject: 'loop 1 ANALYZE',
        outcome: 'OK',
        detail: '',
      },
      expect.objectContaining({ index: 4, timeMs: bench.timeMs, caller: 'bob', outcome: 'STALE_FENCE' }),
    ]);
  });

  test('not: time that goes by, sessions kept alive, answers that are repeated', () => {
    const bench = audited();
    const id = bench.openSession();
    bench.done('timeAdvanced', { kind: 'advanceTime' });
    bench.done('sessionKept', { kind: 'keepAliveSession' }, { session: session(id, 0) });
    const create: CommandBody = { kind: 'createLoop', loop: 'loop', plan: '' };
    bench.apply(create, { session: session(id, 1) });
    expect(bench.apply(create, { session: session(id, 1) }).replayed).toBe(true);
    expect(recordsOf(bench).map(({ command }) => command)).toEqual(['openSession', 'createLoop']);
  });

  test('below feature level 3 nothing, and the rows are as they were', () => {
    const bench = new Bench();
    bench.createLoop();
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: false });
    bench.createLoop('two');
    expect(bench.machine.rows.audit.size).toBe(0);
    expect(bench.machine.featureLevel().used).toBe(1);
  });

  test('R9: the level alone can be taken back; once something is recorded it stays', () => {
    const bench = audited();
    expect(bench.machine.featureLevel()).toMatchObject({ level: 3, used: 1 });
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: true });
    expect(bench.machine.rows.audit.size).toBe(0);
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    bench.createLoop();
    expect(bench.machine.featureLevel()).toMatchObject({ used: 3 });
    expect(bench.rejected({ kind: 'setFeatureLevel', level: 2, pinned: true }).reason).toBe('FEATURE_LEVEL_IN_USE');
    expect(recordsOf(bench).at(-1)).toMatchObject({ command: 'setFeatureLevel', outcome: 'FEATURE_LEVEL_IN_USE' });
  });

  test('a subject is bounded and well-formed, whatever the command holds', () => {
    fc.assert(
      fc.property(command, ({ body }) => {
        const subject = subjectOf(body);
        expect(subject.length).toBeLessThanOrEqual(AUDIT_SUBJECT_LENGTH_MAX);
        expect(Buffer.from(subject, 'utf8').toString('utf8')).toBe(subject);
      }),
    );
    const half = subjectOf({ ...nothing, loop: `${'x'.repeat(AUDIT_SUBJECT_LENGTH_MAX - 1)}😀` });
    expect(half).toBe(`${'x'.repeat(AUDIT_SUBJECT_LENGTH_MAX - 1)}\ufffd`);
  });

  test('signatures of an accepted override and of a roster change are kept', () => {
    const bench = audited();
    const nonce = '1'.repeat(32);
    const expiresAtMs = at(bench.timeMs + 1_000);
    const changes = [{ name: 'ada', publicKey: 'a'.repeat(64) }];
    bench.done('supervisorsChanged', {
      kind: 'changeSupervisors',
      changes,
      signaturesNeeded: null,
      expiresAtMs,
      nonce,
      signatures: [],
    });
    const [record] = recordsOf(bench);
    expect(record).toMatchObject({ command: 'changeSupervisors', subject: 'add:ada', outcome: 'OK' });
    expect(JSON.parse(record?.detail ?? '')).toEqual({
      changes: [['ada', 'a'.repeat(64)]],
      signaturesNeeded: null,
      expiresAtMs,
      nonce,
      signatures: [],
    });
  });
});

describe('O3: chain', () => {
  test('the hash is SHA-256 over the hash before, a line feed, and the record as a JSON array', () => {
    const bench = audited();
    bench.createLoop();
    const [block] = blocksOf(bench);
    const { index, timeMs } = block?.records[0] ?? { index: 0, timeMs: 0 };
    const text = `${'0'.repeat(64)}\n[1,${index},${timeMs},"agent","trace","createLoop","loop","OK",""]`;
    expect(block && hashAfter(block)).toBe(createHash('sha256').update(text, 'utf8').digest('hex'));
  });

  test('the pure hash and that of the platform agree on any text', () => {
    const text = fc.string({ unit: 'binary' });
    const record = fc.record({
      index: fc.nat(),
      timeMs: fc.nat(),
      caller: text,
      traceId: text,
      command: text,
      subject: text,
      outcome: text,
      detail: text,
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 5 }), fc.integer({ min: 1 }), (records, first) => {
        const block = { first, previousHash: AUDIT_HASH_START, records } as unknown as AuditBlockRow;
        const hash = block.records.reduce((before, one, i) => auditHash(before, first + i, one), AUDIT_HASH_START);
        expect(hashAfter(block)).toBe(hash);
      }),
    );
  });

  test('blocks hold 64 records, and each says the hash before it', () => {
    const bench = audited();
    for (let i = 0; i < 2 * AUDIT_BLOCK_RECORDS + 3; i++) bench.rejected(nothing);
    const blocks = blocksOf(bench);
    expect(blocks.map(({ first, records }) => [first, records.length])).toEqual([
      [1, 64],
      [65, 64],
      [129, 3],
    ]);
    expect(blocks[0]?.previousHash).toBe(AUDIT_HASH_START);
    for (const [i, block] of blocks.slice(1).entries()) {
      expect(block.previousHash).toBe(hashAfter(blocks[i] as AuditBlockRow));
    }
  });

  test('a command changes one block and no other', () => {
    const bench = audited();
    for (let i = 0; i < AUDIT_BLOCK_RECORDS + 1; i++) bench.rejected(nothing);
    bench.changedRows();
    bench.rejected(nothing);
    expect(bench.changedRows().map(({ table, key }) => [table, Number(key)])).toEqual([['audit', 65]]);
  });

  test('AU3: the newest 1,000 blocks are kept; the hash before them stands for the rest', () => {
    const bench = audited();
    const total = (AUDIT_BLOCKS_MAX + 2) * AUDIT_BLOCK_RECORDS + 1;
    let dropped: AuditBlockRow | undefined;
    for (let i = 0; i < total; i++) {
      bench.apply(nothing);
      if (i === 2 * AUDIT_BLOCK_RECORDS) dropped = blocksOf(bench)[1];
    }
    const blocks = blocksOf(bench);
    expect(blocks.length).toBe(AUDIT_BLOCKS_MAX);
    expect(blocks[0]?.first).toBe(3 * AUDIT_BLOCK_RECORDS + 1);
    expect(dropped?.first).toBe(AUDIT_BLOCK_RECORDS + 1);
    expect(bench.machine.rows.audit.get(String(AUDIT_BLOCK_RECORDS + 1).padStart(16, '0'))).toBeNull();
    const slice = auditFrom(bench.machine, 1);
    expect(slice).toMatchObject({ firstKept: 3 * AUDIT_BLOCK_RECORDS + 1, end: total + 1 });
    expect(slice.blocks.length).toBe(AUDIT_BLOCKS_MAX);
  });

  test('reading from a position gives the block of the record before it, too', () => {
    const bench = audited();
    expect(auditFrom(bench.machine, 1)).toEqual({ firstKept: 1, end: 1, blocks: [] });
    for (let i = 0; i < 2 * AUDIT_BLOCK_RECORDS; i++) bench.rejected(nothing);
    const firsts = (from: number) => auditFrom(bench.machine, from).blocks.map(({ first }) => first);
    expect(firsts(1)).toEqual([1, 65]);
    expect(firsts(64)).toEqual([1, 65]);
    expect(firsts(66)).toEqual([65]);
    expect(firsts(129)).toEqual([65]);
    expect(auditFrom(bench.machine, 129).end).toBe(129);
  });

  test('replicas agree on every row', () => {
    const bench = audited();
    bench.createLoop();
    const { token } = bench.begin('ANALYZE');
    for (let i = 0; i < 100; i++) bench.done('progressReported', progressBody('ANALYZE', token, { note: `n${i}` }));
    const other = new Bench();
    for (const entry of bench.log) other.machine.apply(entry);
    expect(other.machine.stateHash()).toBe(bench.machine.stateHash());
  });
});
