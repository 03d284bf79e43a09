import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OneMember } from '../api/one-member.ts';
import { sha256 } from '../machine/document-kit.ts';
import { cli } from './run-cli.ts';

let one: OneMember;
let folder: string;

beforeEach(async () => {
  one = await OneMember.start();
  folder = mkdtempSync(join(tmpdir(), 'quorate-cli-document-'));
});

afterEach(async () => {
  await one.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (...args: string[]) => cli([...args, '--endpoints', one.address, '--caller', 'me'], { cwd: folder });

describe('quorate document', () => {
  test('put from a file, get, list, history, delete', async () => {
    writeFileSync(join(folder, 'plan.json'), '{"replicas":1}');
    writeFileSync(join(folder, 'schema.json'), '{"properties":{"replicas":{"type":"integer"}}}');
    const put = ['document', 'put', 'loop', 'plan.json'];
    const first = await ask(...put, '--file', 'plan.json', '--schema', 'schema.json', '--causal', '/replicas');
    expect(first).toEqual({ code: 0, stdout: 'loop plan.json: version 1\n', stderr: '' });
    // Without --expect it is the newest version that is replaced.
    expect((await ask(...put, '--content', '{"replicas":2}')).stdout).toBe('loop plan.json: version 2\n');
    const invalid = await ask(...put, '--content', '{"replicas":"x"}');
    expect(invalid.code).toBe(3);
    expect(invalid.stderr).toMatch(/^quorate: DOCUMENT_INVALID: .*\/replicas must be integer/);
    expect((await ask(...put, '--content', '{"replicas":"x"}', '--no-schema')).stdout).toContain('version 3');
    const late = await ask(...put, '--content', '{}', '--expect', '1');
    expect(late).toMatchObject({ code: 3, stderr: expect.stringMatching(/^quorate: VERSION_MISMATCH: /) });

    const got = await ask('document', 'get', 'loop', 'plan.json');
    expect(got.stdout).toBe('{"replicas":"x"}\n');
    expect(got.stderr).toContain('version 3');
    expect(got.stderr).toContain('/replicas  {"me":3}');
    const old = await ask('document', 'get', 'loop', 'plan.json', '--at', '2', '--json');
    expect(JSON.parse(old.stdout)).toMatchObject({ version: 2, content: '{"replicas":2}', caller: 'me' });

    const listed = await ask('document', 'list', 'loop', '--json');
    expect(JSON.parse(listed.stdout)).toMatchObject({ documents: [{ name: 'plan.json', version: 3 }] });
    expect((await ask('document', 'delete', 'loop', 'plan.json')).stdout).toBe('loop plan.json: deleted, version 4\n');
    expect((await ask('document', 'list', 'loop')).stdout).toBe('no documents\n');
    const history = (await ask('document', 'history', 'loop', 'plan.json')).stdout.split('\n');
    expect(history[0]).toMatch(/^NAME +VERSION +SHA-256 +WRITTEN BY +CALLER +CHANGED$/);
    expect(history[1]).toMatch(/^plan\.json +4 +deleted +– +me +/);
    expect(history[3]).toContain(sha256('{"replicas":2}').slice(0, 12));
    expect((await ask('document', 'delete', 'loop', 'plan.json')).stderr).toMatch(/DOCUMENT_NOT_FOUND/);
    expect((await ask(...put, '--content', 'again')).stdout).toContain('version 5');
  });

  test('a phase writes with its token; its snapshot can be read', async () => {
    one.bench.put('plan', 0, 'before');
    const begun = one.bench.begin('ANALYZE');
    const put = ['document', 'put', 'loop', 'plan', '--content', 'inside', '--phase', 'ANALYZE'];
    expect((await ask(...put)).code).toBe(2);
    expect((await ask(...put, '--token', String(begun.token))).stdout).toContain('version 2');
    expect((await ask('document', 'get', 'loop', 'plan', '--as-at-begin', 'ANALYZE')).stdout).toBe('before\n');
    expect((await ask('document', 'list', 'loop')).stdout).toContain('1 ANALYZE');
  });

  test('wrong usage says what to do', async () => {
    const put = ['document', 'put', 'loop', 'plan'];
    expect(await ask(...put)).toMatchObject({ code: 2, stderr: 'quorate: give either --file or --content\n' });
    expect((await ask(...put, '--file', 'none')).stderr).toContain('there is no such file');
    writeFileSync(join(folder, 'bytes'), Buffer.from([0xff, 0xfe]));
    expect(await ask(...put, '--file', 'bytes')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no UTF-8'),
    });
  });

  test('a node that is gone', async () => {
    const gone = await ask('document', 'decommission-node', 'agent-7', '--json');
    expect(JSON.parse(gone.stdout)).toMatchObject({ node: 'agent-7', dropAtMs: one.bench.timeMs + 90 * 86_400_000 });
  });
});

describe('quorate effect', () => {
  test('list shows the ledger of a run', async () => {
    expect((await ask('effect', 'list', 'loop', 'ANALYZE')).stdout).toBe('no effects\n');
    const ref = { loop: 'loop', g: 1, phase: 'ANALYZE' };
    const client = await one.connect();
    const { token } = await client.withoutSession.beginPhase(ref);
    const compensator = { kind: 'worker', target: 'undo' } as const;
    const intent = { key: 'vm-1', description: 'a machine', compensator, price: { amount: '12.5' } };
    await client.withoutSession.ledger.intent(ref, token, intent);
    const text = (await ask('effect', 'list', 'loop', 'ANALYZE')).stdout;
    expect(text).toMatch(/1 +vm-1 +1 +worker undo +12\.50 .* a machine +INTENT/);
    const json = JSON.parse((await ask('effect', 'list', 'loop', 'ANALYZE', '--g', '1', '--json')).stdout);
    expect(json).toMatchObject({ effects: [{ seq: 1, key: 'vm-1', costMicros: '12500000', state: 'INTENT' }] });
  });
});
