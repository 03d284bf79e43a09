import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { valueAt } from '../../src/api/document-content.ts';
import type { QuorateClient } from '../../src/client/client.ts';
import { createMachine } from '../../src/machine/machine.ts';
import { must } from '../../src/types/assert.ts';
import { DOCUMENT_LENGTH_MAX } from '../../src/types/limits.ts';
import { sha256 } from '../machine/document-kit.ts';
import { OneMember, refusalOf } from './one-member.ts';

let one: OneMember;
let client: QuorateClient;

beforeEach(async () => {
  one = await OneMember.start();
  client = await one.connect();
});
afterEach(() => one.stop());

const SCHEMA = JSON.stringify({ type: 'object', properties: { replicas: { type: 'integer' } } });

describe('DocumentService: writes (P6)', () => {
  it('work the hash out, and compare one that is sent', async () => {
    const content = 'grün 🙂';
    await client.documents.put('loop', 'plan', content);
    const got = await client.documents.get('loop', 'plan');
    expect(got).toMatchObject({
      content,
      version: 1,
      sha256: sha256(content),
      caller: 'test',
      schema: null,
      writtenBy: null,
    });
    await client.documents.put('loop', 'plan', 'b', { expectedVersion: 1, sha256: sha256('b').toUpperCase() });
    const wrong = await refusalOf(
      client.documents.put('loop', 'plan', 'c', { expectedVersion: 2, sha256: sha256('b') }),
    );
    expect(wrong).toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(wrong.message).toContain('sha256');
  });

  it('answer a mismatch with the newest version, so that the caller can redo', async () => {
    await client.documents.put('loop', 'plan', '1');
    await client.documents.put('loop', 'plan', '2', { expectedVersion: 1 });
    const refused = await refusalOf(client.documents.put('loop', 'plan', '3', { expectedVersion: 1 }));
    expect(refused).toMatchObject({ reason: 'VERSION_MISMATCH', details: { version: '2', expectedVersion: '1' } });
    const version = Number(refused.details.version);
    expect((await client.documents.put('loop', 'plan', '3', { expectedVersion: version })).version).toBe(3);
  });

  it('check the content against the schema that holds', async () => {
    const invalid = await refusalOf(client.documents.put('loop', 'plan', '{"replicas":"x"}', { schema: SCHEMA }));
    expect(invalid).toMatchObject({ reason: 'DOCUMENT_INVALID', details: { loop: 'loop', name: 'plan' } });
    expect(invalid.message).toContain('/replicas must be integer');
    await client.documents.put('loop', 'plan', '{"replicas":1}', { schema: SCHEMA });
    const later = client.documents.put('loop', 'plan', '{"replicas":"x"}', { expectedVersion: 1 });
    expect((await refusalOf(later)).reason).toBe('DOCUMENT_INVALID');
    await client.documents.put('loop', 'plan', 'anything', { expectedVersion: 1, schema: '' });
    expect((await client.documents.get('loop', 'plan')).schema).toBeNull();
    const bad = await refusalOf(client.documents.put('loop', 'x', '1', { schema: '{"type":"integre"}' }));
    expect(bad).toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(bad.message).toContain('schema');
  });

  it('look the schema up elsewhere when this member is behind', async () => {
    await client.documents.put('loop', 'plan', '{"replicas":1}', { schema: SCHEMA });
    one.behind = createMachine();
    one.reads = 0;
    const late = client.documents.put('loop', 'plan', '{"replicas":"x"}', { expectedVersion: 1 });
    expect((await refusalOf(late)).reason).toBe('DOCUMENT_INVALID');
    expect(one.reads).toBe(1);
    expect((await client.documents.put('loop', 'plan', '{"replicas":2}', { expectedVersion: 1 })).version).toBe(2);
    // Not even read: nothing of an older version matters.
    one.reads = 0;
    const all = { expectedVersion: 2, schema: '', causalFields: [] };
    await client.documents.put('loop', 'plan', 'x', all);
    expect(one.reads).toBe(0);
  });

  it('never take one that was not checked: a version that is not there yet may be when the command is carried out', async () => {
    await client.documents.put('loop', 'plan', '{"replicas":1}', { schema: SCHEMA });
    const early = client.documents.put('loop', 'plan', '{"replicas":"x"}', { expectedVersion: 2 });
    expect(await refusalOf(early)).toMatchObject({ reason: 'VERSION_MISMATCH', details: { version: '1' } });
    const { body } = must(one.mutations.at(-1), 'it was proposed: the session remembers the answer');
    // Whatever happens before it is carried out.
    expect(body).toMatchObject({ kind: 'putDocument', expectedVersion: Number.MAX_SAFE_INTEGER - 1 });
    // One that is not kept any more is refused as it is.
    for (let version = 1; version <= 20; version += 1)
      await client.documents.put('loop', 'plan', '{"replicas":2}', { expectedVersion: version });
    const late = client.documents.put('loop', 'plan', '{"replicas":"x"}', { expectedVersion: 1 });
    expect(await refusalOf(late)).toMatchObject({ details: { version: '21', expectedVersion: '1' } });
  });

  it('find the causal fields that changed', async () => {
    const causalFields = ['/a', '/b/c', ''];
    await client.documents.put('loop', 'plan', '{"a":1,"b":{"c":[1]}}', { causalFields });
    await client.documents.put('loop', 'plan', '{"b":{"c":[1]},"a":2}', { expectedVersion: 1 });
    expect((await client.documents.get('loop', 'plan')).causalFields).toEqual({
      '': { test: 2 },
      '/a': { test: 2 },
      '/b/c': { test: 1 },
    });
    const none = client.documents.put('loop', 'plan', 'no JSON', { expectedVersion: 2 });
    expect((await refusalOf(none)).reason).toBe('DOCUMENT_INVALID');
  });

  it('refuse what is malformed before anything is proposed', async () => {
    const reasons = await Promise.all([
      refusalOf(client.documents.put('a b', 'x', '')),
      refusalOf(client.documents.put('loop', '', '')),
      refusalOf(client.documents.put('loop', 'x', 'x'.repeat(DOCUMENT_LENGTH_MAX + 1))),
      refusalOf(client.documents.delete('loop', 'x', { expectedVersion: 0 })),
    ]);
    expect(reasons.map(({ reason }) => reason)).toEqual(Array.from({ length: 4 }, () => 'INVALID_ARGUMENT'));
    expect(one.mutations).toEqual([]);
  });

  it('go on as they were when a request is repeated under its number', async () => {
    const session = await client.openSession();
    await session.documents.put('loop', 'plan', '{"replicas":1}', { schema: SCHEMA });
    await session.documents.put('loop', 'plan', '{"replicas":2}', { expectedVersion: 1 });
    const again = one.mutations.at(-1);
    if (again === undefined) throw new Error('nothing was proposed');
    const applied = one.bench.apply(again.body, {
      caller: 'test',
      traceId: '',
      ...(again.session === null ? {} : { session: again.session }),
    });
    expect(applied).toMatchObject({ replayed: true, result: { ok: true, value: { version: 2 } } });
    expect(one.bench.version('plan')).toBe(2);
  });
});

describe('DocumentService: reads', () => {
  it('show versions, the newest first, and single ones by their number', async () => {
    await client.documents.put('loop', 'plan', 'one');
    await client.documents.put('loop', 'plan', 'two', { expectedVersion: 1 });
    await client.documents.delete('loop', 'plan', { expectedVersion: 2 });
    const versions = await client.documents.history('loop', 'plan');
    expect(versions.map(({ version, deleted }) => [version, deleted])).toEqual([
      [3, true],
      [2, false],
      [1, false],
    ]);
    expect((await client.documents.get('loop', 'plan', { version: 1 })).content).toBe('one');
    expect(await client.documents.get('loop', 'plan', { version: 3 })).toMatchObject({
      deleted: true,
      content: '',
      sha256: '',
    });
    expect(await refusalOf(client.documents.get('loop', 'plan'))).toMatchObject({
      reason: 'DOCUMENT_NOT_FOUND',
      details: { newest_version: '3' },
    });
    expect((await refusalOf(client.documents.get('loop', 'plan', { version: 9 }))).reason).toBe('DOCUMENT_NOT_FOUND');
    expect((await refusalOf(client.documents.history('loop', 'none'))).reason).toBe('DOCUMENT_NOT_FOUND');
    expect((await refusalOf(client.documents.get('none', 'plan'))).reason).toBe('LOOP_NOT_FOUND');
  });

  it('list what there is, page by page, without contents', async () => {
    one.bench.createLoop('loop-2');
    await client.documents.put('loop-2', 'other', 'x');
    for (let i = 0; i < 2_500; i++) one.bench.put(`doc-${String(i).padStart(4, '0')}`, 0, 'x');
    one.bench.remove('doc-0007', 1);
    const names: string[] = [];
    for await (const document of client.documents.list('loop')) {
      names.push(document.name);
      expect('content' in document).toBe(false);
    }
    expect(names).toHaveLength(2_499);
    expect(names).toEqual([...names].sort());
    expect(names).not.toContain('doc-0007');
  });

  it('show a document as it was at BEGIN_PHASE (P7), and who wrote the newest version', async () => {
    await client.documents.put('loop', 'plan', 'before');
    const ref = { loop: 'loop', g: 1, phase: 'ANALYZE' };
    const { token } = await client.withoutSession.beginPhase(ref);
    await client.documents.put('loop', 'plan', 'by the run', { expectedVersion: 1, by: { ref, token } });
    await client.documents.put('loop', 'new', 'by the run', { by: { ref, token } });
    expect(await client.documents.get('loop', 'plan')).toMatchObject({ content: 'by the run', writtenBy: ref });
    expect(await client.documents.get('loop', 'plan', { ofRun: ref })).toMatchObject({ content: 'before', version: 1 });
    expect((await refusalOf(client.documents.get('loop', 'new', { ofRun: ref }))).reason).toBe('DOCUMENT_NOT_FOUND');
    await client.withoutSession.commitPhase(ref, token);
    expect((await refusalOf(client.documents.get('loop', 'plan', { ofRun: ref }))).reason).toBe('PHASE_NOT_RUNNING');
    const both = client.documents.get('loop', 'plan', { ofRun: ref, version: 1 });
    expect((await refusalOf(both)).reason).toBe('INVALID_ARGUMENT');
  });

  it('tell only what has changed in the clock since (P8)', async () => {
    await client.documents.put('loop', 'plan', 'x');
    const knownClock = { agent: 1, gone: 4 };
    const { loopClock } = await client.documents.get('loop', 'plan', { knownClock });
    expect(loopClock).toEqual({ agent: 1, test: 1 });
    expect(loopClock).toEqual(Object.fromEntries(one.bench.machine.loop('loop')?.vectorClock ?? []));
    expect((await client.documents.get('loop', 'plan')).loopClock).toBeNull();
  });

  it('take in that a node is gone', async () => {
    const { dropAtMs } = await client.withoutSession.documents.decommissionNode('test');
    expect(dropAtMs).toBe(one.bench.timeMs + 90 * 24 * 60 * 60_000);
  });
});

describe('JSON pointers (RFC 6901)', () => {
  it('lead to values, or nowhere', () => {
    const root: unknown = JSON.parse('{"a":{"b":[1,2]},"x/y":3,"m~n":4,"":5,"__proto__":6}');
    const values = ['', '/a/b/1', '/x~1y', '/m~0n', '/', '/__proto__', '/a/c', '/a/b/length/x', '/toString'];
    expect(values.slice(1).map((pointer) => valueAt(root, pointer))).toEqual([
      2,
      3,
      4,
      5,
      6,
      undefined,
      undefined,
      undefined,
    ]);
    expect(valueAt(root, '')).toBe(root);
  });
});
