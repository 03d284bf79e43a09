/** O3: the verifier of docs/audit.md, in another language, says the same of an export as ours. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fileOf, overridden, recordsOf } from '../audit/exported.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-audit-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('O3: a dozen lines of Python verify an export, with names of every alphabet', () => {
  const docs = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  const script = /```python\n([\s\S]*?)```/.exec(docs)?.[1];
  if (script === undefined) throw new Error('docs/audit.md has a verifier');
  const bench = overridden();
  bench.createLoop('other');
  bench.begin('ANALYZE', { loop: 'other', caller: 'ü "quoted" \\ \u0001\u007f 😀', traceId: '\u2028\t' });
  const file = fileOf(recordsOf(bench));
  const run = (bytes: Uint8Array) => {
    const path = join(folder, 'log.audit');
    writeFileSync(path, bytes);
    return spawnSync('python3', ['-c', script, path], { encoding: 'utf8' });
  };
  expect(run(file)).toMatchObject({ status: 0, stdout: `sound ${recordsOf(bench).records.at(-1)?.hash}\n` });
  const changed = Buffer.from(file.toString('utf8').replace('"abort', '"aborT'), 'utf8');
  expect(run(changed).status).toBe(1);
});
