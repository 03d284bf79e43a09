import { describe, expect, it } from 'vitest';
import { olderVersions } from '../../src/machine/document/store.ts';
import { CAUSAL_FIELDS_MAX, DOCUMENT_LENGTH_MAX, DOCUMENT_VERSIONS_KEPT } from '../../src/types/limits.ts';
import { deleteBody, Level3, putBody, sha256 } from './document-kit.ts';
import { Bench, ref } from './kit.ts';

describe('documents (P6)', () => {
  it('have versions by one, and a write names the one it read', () => {
    const bench = new Level3();
    expect(bench.put('plan', 0, 'one')).toBe(1);
    expect(bench.put('plan', 1, 'two')).toBe(2);
    expect(bench.rejected(putBody('plan', 1, 'late'))).toMatchObject({
      reason: 'VERSION_MISMATCH',
      details: { expectedVersion: '1', name: 'plan', version: '2' },
    });
    expect(bench.rejected(putBody('plan', 0, 'new')).reason).toBe('VERSION_MISMATCH');
    expect(bench.rejected(putBody('plan', 3, 'future')).reason).toBe('VERSION_MISMATCH');
    expect(bench.content('plan')).toBe('two');
    expect(bench.machine.rows.document.get('loop plan')).toMatchObject({ sha256: sha256('two'), caller: 'agent' });
  });

  it('go on with their version numbers after a deletion', () => {
    const bench = new Level3();
    bench.put('plan', 0, 'one');
    expect(bench.remove('plan', 1)).toBe(2);
    expect(bench.content('plan')).toBeNull();
    expect(bench.rejected(deleteBody('plan', 2)).reason).toBe('DOCUMENT_NOT_FOUND');
    expect(bench.rejected(deleteBody('plan', 0)).reason).toBe('DOCUMENT_NOT_FOUND');
    expect(bench.rejected(deleteBody('other', 0)).reason).toBe('DOCUMENT_NOT_FOUND');
    expect(bench.put('plan', 0, 'again')).toBe(3);
    bench.remove('plan', 3);
    expect(bench.put('plan', 4, 'and again')).toBe(5);
  });

  it('need feature level 3, and say so without a trace', () => {
    const bench = new Bench();
    bench.createLoop();
    expect(bench.rejected(putBody('plan', 0, 'x')).reason).toBe('FEATURE_LEVEL_TOO_LOW');
    expect(bench.machine.featureLevel()).toEqual({ level: 1, used: 1, pinned: false });
    const raised = new Level3();
    raised.put('plan', 0, 'x');
    expect(raised.machine.featureLevel().used).toBe(3);
  });

  it('refuse what is malformed', () => {
    const bench = new Level3();
    const by = bench.start('ANALYZE');
    const bad = (more: Parameters<typeof putBody>[4], content = 'x') =>
      bench.rejected(putBody('plan', 0, content, null, more));
    expect(bad({ name: 'a b' }).details.field).toBe('name');
    expect(bad({ loop: 'none' }).reason).toBe('LOOP_NOT_FOUND');
    expect(bad({ sha256: 'ABC' }).details.field).toBe('sha256');
    expect(bad({}, 'x'.repeat(DOCUMENT_LENGTH_MAX + 1)).details.field).toBe('content');
    expect(bad({}, '\ud800').details.field).toBe('content');
    expect(bad({ causalFields: ['a'] }).details.field).toBe('causalFields');
    expect(bad({ causalFields: ['/a~2'] }).details.field).toBe('causalFields');
    expect(bad({ causalFields: ['/a', '/a'] }).details.field).toBe('causalFields');
    const many = Array.from({ length: CAUSAL_FIELDS_MAX + 1 }, (_, i) => `/${i}`);
    expect(bad({ causalFields: many }).details.field).toBe('causalFields');
    expect(bad({ causalChanged: ['/a'] }).details.field).toBe('causalChanged');
    expect(bad({ expectedVersion: -1 }).details.field).toBe('expectedVersion');
    expect(bad({ ref: ref('ANALYZE', 1, 'other'), token: by.token as never }).details.field).toBe('ref.loop');
    expect(bad({ ref: ref('ANALYZE'), token: 999 as never }).reason).toBe('STALE_FENCE');
    expect(bench.machine.rows.document.size).toBe(0);
  });

  it('keep schema and causal fields until they are set anew', () => {
    const bench = new Level3();
    const first = { schema: '{}', causalFields: ['/a', '/b'], causalChanged: ['/a', '/b'] };
    bench.done('documentPut', putBody('plan', 0, '{"a":1,"b":1}', null, first), { caller: 'x' });
    bench.done('documentPut', putBody('plan', 1, '{"a":2,"b":1}', null, { causalChanged: ['/a'] }), { caller: 'y' });
    expect(bench.machine.rows.document.get('loop plan')).toMatchObject({
      schema: '{}',
      causalFields: ['/a', '/b'],
      causalClocks: [
        [
          ['x', 1],
          ['y', 1],
        ],
        [['x', 1]],
      ],
    });
    const second = { schema: '', causalFields: ['/b', '/c'], causalChanged: [] };
    bench.done('documentPut', putBody('plan', 2, '{"b":1,"c":1}', null, second), { caller: 'z' });
    expect(bench.machine.rows.document.get('loop plan')).toMatchObject({
      schema: '',
      causalFields: ['/b', '/c'],
      causalClocks: [[['x', 1]], [['z', 1]]],
    });
  });

  it('keep the newest versions only', () => {
    const bench = new Level3();
    for (let v = 0; v < 40; v++) bench.put('plan', v, `content ${v + 1}`);
    const kept = olderVersions(bench.machine.rows, 'loop', 'plan');
    expect(kept.map((row) => row.version)).toEqual(
      Array.from({ length: DOCUMENT_VERSIONS_KEPT - 1 }, (_, i) => 40 - DOCUMENT_VERSIONS_KEPT + 1 + i),
    );
    expect(kept.every((row) => row.content === `content ${row.version}`)).toBe(true);
  });

  it('advance the clock of their loop, and say what was done', () => {
    const bench = new Level3();
    bench.done('documentPut', putBody('plan', 0, 'x', null, { vectorClock: [['other', 7]] }), { caller: 'writer' });
    expect(bench.machine.loop('loop')?.vectorClock).toEqual([
      ['agent', 1],
      ['other', 7],
      ['writer', 1],
    ]);
    bench.remove('plan', 1);
    const told = bench.events.filter(({ kind }) => kind === 'document.changed').map(({ outcome }) => outcome);
    expect(told).toEqual(['PUT plan 1', 'DELETED plan 2']);
  });

  it('are written by the newest attempt of a run alone', () => {
    const bench = new Level3();
    const old = bench.start('ANALYZE');
    const by = bench.start('ANALYZE', 1);
    expect(bench.rejected(putBody('plan', 0, 'x', old)).reason).toBe('STALE_FENCE');
    expect(bench.put('plan', 0, 'x', by)).toBe(1);
    bench.commit('ANALYZE', by.token);
    expect(bench.rejected(putBody('plan', 1, 'y', by)).reason).toBe('PHASE_FINAL');
  });
});
