/** O1–O3 on the command line, from the key to the verified export, over the API and a real state machine. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { interruptedBench, serveMachine } from '../api/machine-api.ts';
import { TestApi } from '../api/support.ts';
import type { Bench } from '../machine/kit.ts';
import { type CliResult, cli } from './run-cli.ts';

let api: TestApi;
let bench: Bench;
let folder: string;

beforeEach(async () => {
  api = await new TestApi().start();
  bench = interruptedBench();
  serveMachine(api, bench);
  folder = mkdtempSync(join(tmpdir(), 'quorate-override-test-'));
});

afterEach(() => {
  api.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (...args: string[]): Promise<CliResult> => cli([...args, '--endpoints', api.address], { cwd: folder });

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(...args);
  expect([code, stderr.includes('quorate: ') ? stderr : '']).toEqual([0, '']);
  return stdout;
}

/** What a shell does with `> name`. */
async function to(name: string, ...args: string[]): Promise<string> {
  writeFileSync(join(folder, name), await done(...args));
  return name;
}

async function refused(reason: string, ...args: string[]): Promise<void> {
  const { code, stdout } = await ask(...args, '--json');
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({ error: { reason } });
}

async function key(name: string): Promise<string> {
  return JSON.parse(await done('sign', 'keygen', '--out', `${name}.pem`, '--json')).publicKey as string;
}

/** Three supervisors: two signatures are needed. */
async function roster(): Promise<void> {
  await done('supervisor', 'add', 'ada', '--public-key', await key('ada'));
  const [bob, cyd] = [await key('bob'), await key('cyd')];
  const signed = await to('roster.json', 'sign', '--key', 'ada.pem', '--add', `bob=${bob}`, '--add', `cyd=${cyd}`);
  expect(await done('supervisor', 'apply', '--signature', signed)).toContain('an override takes 2');
}

const stateNow = (): string | undefined => bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1].state;

describe('O2: keys', () => {
  test('keygen makes a key that only its owner can read, and never writes over one', async () => {
    const text = await done('sign', 'keygen', '--out', 'ada.pem');
    expect(text).toMatch(/^[0-9a-f]{64}$/m);
    expect(statSync(join(folder, 'ada.pem')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, 'ada.pem'), 'utf8')).toContain('BEGIN PRIVATE KEY');
    const again = await ask('sign', 'keygen', '--out', 'ada.pem');
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('choose another name')]);
  });

  test('a file that is no key', async () => {
    writeFileSync(join(folder, 'x.pem'), 'x');
    const sign = (...args: string[]) => ask('sign', '--trace', 't', '--action', 'abort', ...args);
    expect(await sign('--key', 'x.pem')).toMatchObject({ code: 2, stderr: expect.stringContaining('no private key') });
    expect(await sign('--key', 'no.pem')).toMatchObject({ code: 2, stderr: expect.stringContaining('no such file') });
    expect(await sign()).toMatchObject({ code: 2, stderr: expect.stringContaining('--key is missing') });
  });
});

describe('O1: override', () => {
  test('two sign, it is carried out once, and the export of the audit log verifies', async () => {
    await roster();
    const ada = await to('ada.json', 'sign', '--key', 'ada.pem', '--trace', 'trace', '--action', 'force-rollback');
    await refused('SIGNATURES_TOO_FEW', 'override', 'force-rollback', 'trace', '--signature', ada);
    const bob = await to('bob.json', 'sign', '--key', 'bob.pem', '--with', ada);
    const text = await done('override', 'force-rollback', 'trace', '--signature', ada, bob);
    expect(text).toBe('force-rollback of trace: one recovery moved\n');
    expect(stateNow()).toBe('ROLLBACK');
    await refused('OVERRIDE_REPLAYED', 'override', 'force-rollback', 'trace', '--signature', ada, bob);

    expect(await done('audit', 'export', 'log.audit')).toContain('cluster test, records 1 to');
    expect(await done('audit', 'verify', 'log.audit')).toMatch(/3 signatures of supervisors verified\n.*\nsound\n$/);
  });

  test('the same supervisor twice, a stranger, and a removed one', async () => {
    await roster();
    const ada = await to('ada.json', 'sign', '--key', 'ada.pem', '--trace', 'trace', '--action', 'abort');
    await refused('SIGNATURES_TOO_FEW', 'override', 'abort', 'trace', '--signature', ada, ada);
    await key('mallory');
    const mallory = await to('mallory.json', 'sign', '--key', 'mallory.pem', '--with', ada);
    await refused('SUPERVISOR_UNKNOWN', 'override', 'abort', 'trace', '--signature', ada, mallory);
    const named = await to('named.json', 'sign', '--key', 'mallory.pem', '--with', ada, '--as', 'bob');
    await refused('SIGNATURE_INVALID', 'override', 'abort', 'trace', '--signature', ada, named);
    const one = await to('one.json', 'sign', '--key', 'ada.pem', '--remove', 'bob');
    const two = await to('two.json', 'sign', '--key', 'cyd.pem', '--with', one);
    await done('supervisor', 'remove', 'bob', '--signature', one, two);
    const bob = await to('bob.json', 'sign', '--key', 'bob.pem', '--with', ada, '--as', 'bob');
    await refused('SUPERVISOR_UNKNOWN', 'override', 'abort', 'trace', '--signature', bob);
    expect(stateNow()).toBe('INTERRUPTED');
  });

  test('files that do not belong together are found before anything is sent', async () => {
    await roster();
    const sign = (name: string, ...args: string[]) => to(name, 'sign', '--key', 'ada.pem', '--trace', 'trace', ...args);
    const abort = await sign('abort.json', '--action', 'abort');
    const resume = await sign('resume.json', '--action', 'resume');
    const offline = await sign('offline.json', '--action', 'abort', '--cluster-id', 'other');
    writeFileSync(
      join(folder, 'altered.json'),
      readFileSync(join(folder, abort), 'utf8').replace('"trace"', '"other"'),
    );
    const before = bench.log.length;
    const wrong = async (text: string, ...files: string[]): Promise<void> => {
      const result = await ask('override', 'abort', 'trace', '--signature', ...files);
      expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining(text) });
    };
    await wrong('signs something else', abort, resume);
    await wrong('it signs resume of trace, not abort of trace', resume);
    await wrong('it was altered', 'altered.json');
    await wrong('no such file', 'no.json');
    await wrong('it is no JSON', 'ada.pem');
    await wrong('it signs a change of the roster', 'roster.json');
    const commands = (): number => bench.log.filter(({ command }) => command?.body.kind === 'override').length;
    await wrong('signed for cluster other, this is test', offline);
    expect([commands(), before]).toEqual([0, before]);
  });

  test('expired, and longer than it may be', async () => {
    await roster();
    const ada = await to(
      'ada.json',
      'sign',
      '--key',
      'ada.pem',
      '--trace',
      'trace',
      '--action',
      'abort',
      '--expires',
      '5s',
    );
    bench.timeMs += 5_000;
    await refused('OVERRIDE_EXPIRED', 'override', 'abort', 'trace', '--signature', ada);
    const long = await ask('sign', '--key', 'ada.pem', '--trace', 'trace', '--action', 'abort', '--expires', '1441m');
    expect(long).toMatchObject({ code: 2, stderr: expect.stringContaining('24 hours') });
  });

  test('what to sign must be said, once', async () => {
    await key('ada');
    for (const args of [
      [],
      ['--trace', 't'],
      ['--action', 'abort'],
      ['--trace', 't', '--action', 'abort', '--remove', 'x'],
    ]) {
      expect((await ask('sign', '--key', 'ada.pem', ...args)).code).toBe(2);
    }
  });
});

describe('O2: supervisor', () => {
  test('list says who, and how many it takes', async () => {
    expect(await done('supervisor', 'list')).toContain('nobody is on the roster');
    await roster();
    expect(await done('supervisor', 'list')).toMatch(/^ada +[0-9a-f]{64} +\d+$[\s\S]*an override takes 2 of 3/m);
    const json = JSON.parse(await done('supervisor', 'list', '--json'));
    expect(json).toMatchObject({ threshold: 2, clusterId: 'test', supervisors: [{ name: 'ada' }, {}, {}] });
  });

  test('how many signatures it takes is set like any change, and is on record', async () => {
    await roster();
    await refused('SIGNATURES_TOO_FEW', 'supervisor', 'needed', '3');
    const one = await to('n1.json', 'sign', '--key', 'ada.pem', '--needed', '3');
    const two = await to('n2.json', 'sign', '--key', 'bob.pem', '--with', one);
    const wrong = await ask('supervisor', 'needed', '1', '--signature', one, two);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('it signs needed 3, not needed 1') });
    expect(await done('supervisor', 'needed', '3', '--signature', one, two)).toContain('an override takes 3');
    expect(await done('supervisor', 'list')).toContain('an override takes 3 of 3 (3 were asked for)');
    expect((await ask('supervisor', 'needed', '0')).code).toBe(2);
    await done('audit', 'export', 'needed.audit');
    expect(await done('audit', 'verify', 'needed.audit')).toMatch(/sound\n$/);
  });

  test('a change that is not signed, and one that signs something else', async () => {
    await roster();
    const dan = await key('dan');
    await refused('SIGNATURES_TOO_FEW', 'supervisor', 'add', 'dan', '--public-key', dan);
    const wrong = await ask('supervisor', 'remove', 'ada', '--signature', 'roster.json');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('not remove ada') });
    const override = await to('o.json', 'sign', '--key', 'ada.pem', '--trace', 'trace', '--action', 'abort');
    expect((await ask('supervisor', 'apply', '--signature', override)).stderr).toContain('it signs an override');
    expect((await ask('supervisor', 'add', 'dan', '--public-key', 'x')).code).toBe(2);
  });
});

describe('O3: audit', () => {
  test('exports that follow one another verify together; a gap and another history do not', async () => {
    await roster();
    await done('audit', 'export', 'one.audit');
    for (let i = 0; i < 100; i++) bench.rejected({ kind: 'createLoop', loop: 'not a name', plan: '' });
    await done('audit', 'export', 'two.audit', '--after', 'one.audit');
    bench.createLoop('last');
    await done('audit', 'export', 'three.audit', '--after', 'two.audit');
    await done('audit', 'verify', 'one.audit', 'two.audit', 'three.audit');
    const gap = await ask('audit', 'verify', 'one.audit', 'three.audit');
    expect(gap).toMatchObject({ code: 1, stdout: expect.stringContaining('begins with record') });
    const again = await ask('audit', 'export', 'one.audit');
    expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('it is there already') });
    serveMachine(api, interruptedBench());
    bench = interruptedBench();
    const other = await ask('audit', 'export', 'four.audit', '--after', 'one.audit');
    expect(other.code).not.toBe(0);
  });

  test('verify names what was changed, and exits with 1', async () => {
    await roster();
    await done('audit', 'export', 'log.audit');
    const text = readFileSync(join(folder, 'log.audit'), 'utf8');
    writeFileSync(join(folder, 'bad.audit'), text.replace('"beginPhase"', '"abortPhase"'));
    const { code, stdout } = await ask('audit', 'verify', 'bad.audit');
    expect(code).toBe(1);
    expect(stdout).toContain('BAD   line 3: record 2 was changed');
    const json = JSON.parse((await ask('audit', 'verify', 'bad.audit', '--json')).stdout);
    expect(json).toMatchObject({ sound: false, problems: [{ line: 3, position: 2 }] });
    expect((await ask('audit', 'verify', 'no.audit')).code).toBe(2);
  });
});
