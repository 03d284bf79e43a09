import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { statusError } from '../../src/rpc/status.ts';
import { CUT, FakeMember, message, refusal, SILENCE, watchMessage } from '../client/fake-member.ts';
import { cli } from './run-cli.ts';

let member: FakeMember;
let folder: string;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
  folder = mkdtempSync(join(tmpdir(), 'quorate-cli-test-'));
});

afterEach(() => {
  member.crash();
  rmSync(folder, { recursive: true, force: true });
});

function ask(...args: string[]) {
  return cli([...args, '--endpoints', member.address]);
}

const begun = message({ header: { revision: 12n, term: 3n }, attempt: 2n, fencingToken: 12n, subStepsDone: 4n });
const loop = message({
  loop: {
    name: 'nightly',
    plan: 'default',
    g: 5n,
    changedRevision: 9n,
    runs: [{ ref: { loop: 'nightly', g: 5n, phase: 'ANALYZE' }, state: 2, attempt: 1n, completed: 2n, total: 8n }],
  },
  plan: { name: 'default', phases: [] },
});
const stale = refusal({
  code: Code.ABORTED,
  message: 'token 3 is old; begin again',
  reason: 'STALE_FENCE',
  metadata: { token: '3' },
});

describe('U1: results', () => {
  test('phase begin prints attempt and token, for people and for scripts', async () => {
    member.script('beginPhase', begun);
    member.script('getLoop', loop);
    const text = await ask('phase', 'begin', 'nightly', 'ANALYZE');
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toBe('begun nightly 5 ANALYZE: attempt 2, token 12, 4 sub-steps done already\n');
    const json = await ask('phase', 'begin', 'nightly', 'ANALYZE', '--g', '5', '--supersede', '1', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ loop: 'nightly', g: 5, phase: 'ANALYZE', attempt: 2, token: 12 });
    const request = member.requests('beginPhase').at(-1)?.request;
    expect(request).toMatchObject({ ref: { g: 5n }, supersedeAttempt: 1n, header: { sequence: 1n, sessionId: 7n } });
  });

  test('phase progress sends sub-steps; commit and abort send the token', async () => {
    const ref = ['nightly', 'CONSTRUCT', '--g', '5', '--token', '12'];
    await ask(
      'phase',
      'progress',
      ...ref,
      '--sub-step',
      'a=1=2',
      '--sub-step',
      'b',
      '--completed',
      '2',
      '--total',
      '9',
    );
    expect(member.requests('reportProgress')[0]?.request).toMatchObject({
      fencingToken: 12n,
      completed: 2n,
      total: 9n,
      subSteps: [
        { id: 'a', result: '1=2' },
        { id: 'b', result: '' },
      ],
    });
    expect((await ask('phase', 'commit', ...ref, '--result', 'fine')).code).toBe(0);
    expect(member.requests('commitPhase')[0]?.request).toMatchObject({ fencingToken: 12n, result: 'fine' });
    expect((await ask('phase', 'abort', ...ref, '--hard-fail', '--reason', 'no')).code).toBe(0);
    expect(member.requests('abortPhase')[0]?.request).toMatchObject({ hardFail: true, reason: 'no' });
    member.script('abortPhase', message({ header: { revision: 9n }, nextG: 5n, rollingBack: true }));
    const undone = await ask('phase', 'abort', ...ref);
    expect(undone.stdout).toContain('what it leaves behind is undone: quorate recovery show nightly 5 CONSTRUCT');
  });

  test('loop show is a table; --json is one object', async () => {
    member.script('getLoop', loop);
    const text = await ask('loop', 'show', 'nightly');
    expect(text.stdout).toContain('nightly  plan default  round 5  revision 9');
    expect(text.stdout).toMatch(/ANALYZE {2}RUNNING\s+1 {2}2\/8/);
    const json = await ask('loop', 'show', 'nightly', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ loop: { name: 'nightly', g: 5, runs: [{ state: 'RUNNING' }] } });
    expect(json.stdout.trimEnd()).not.toContain('\n');
  });

  test('lists follow the pages; --json gives a line for each', async () => {
    member.script(
      'listLoops',
      message({ loops: [{ name: 'a', g: 1n }], nextPageToken: 'x' }),
      message({ loops: [{ name: 'b', g: 2n }] }),
    );
    const json = await ask('loop', 'list', '--json');
    expect(
      json.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).name),
    ).toEqual(['a', 'b']);
    expect(member.requests('listLoops')[1]?.request).toMatchObject({ pageToken: 'x' });
  });

  test('plan register reads durations', async () => {
    await ask('plan', 'register', 'release', 'BUILD:5m', 'TEST:10m:90s', 'SHIP');
    expect(member.requests('registerPlan')[0]?.request).toMatchObject({
      plan: {
        name: 'release',
        phases: [
          { name: 'BUILD', priorMs: 300_000n, slaMs: 0n },
          { name: 'TEST', priorMs: 600_000n, slaMs: 90_000n },
          { name: 'SHIP', priorMs: 30_000n },
        ],
      },
    });
  });

  test('status: no leader is an answer, with exit code 4', async () => {
    const stream = { streamId: 1, role: 'leader', term: 4n, leaderId: 'm', leaderClientAddress: member.address };
    member.script('getStatus', message({ clusterId: 'c', memberId: 'm', streams: [stream] }));
    const well = await ask('status', '--json');
    expect(well.code).toBe(0);
    expect(JSON.parse(well.stdout)).toMatchObject({
      cluster: 'c',
      leader: 'm',
      endpoints: [{ endpoint: member.address }],
    });
    member.script(
      'getStatus',
      message({ clusterId: 'c', memberId: 'm', streams: [{ streamId: 1, role: 'follower' }] }),
    );
    const ill = await ask('status');
    expect(ill.code).toBe(4);
    expect(ill.stdout).toContain('no leader');
    expect(ill.stderr).toContain('a majority of the members must run');
    member.script(
      'getStatus',
      message({ clusterId: 'c', memberId: 'm', streams: [{ streamId: 1, role: 'follower' }], waitsToJoin: true }),
    );
    const waiting = await ask('status');
    expect(waiting.code).toBe(4);
    expect(waiting.stderr).toContain('quorate member add');
  });

  test('watch: one event on a line, and an end after --count', async () => {
    member.onWatch((stream) => stream.write(watchMessage(9, 4, 7, 9)));
    const { code, stdout } = await ask('watch', '--from', '4', '--count', '2', '--json');
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).revision),
    ).toEqual([4, 7]);
  });

  test('colours on a terminal only, and not with NO_COLOR', async () => {
    member.script('getLoop', loop);
    const args = ['loop', 'show', 'nightly', '--endpoints', member.address];
    const start = '\u001b[';
    expect((await cli(args)).stdout).not.toContain(start);
    expect((await cli(args, { tty: true })).stdout).toContain(start);
    expect((await cli(args, { tty: true, env: { NO_COLOR: '1' } })).stdout).not.toContain(start);
    expect((await cli([...args, '--json'], { tty: true })).stdout).not.toContain(start);
  });

  test('global options come from the environment, and may stand anywhere', async () => {
    const env = { QUORATE_ENDPOINTS: member.address, QUORATE_CALLER: 'robot', QUORATE_DEADLINE: '5s' };
    await cli(['loop', 'create', 'x'], { env });
    expect(member.requests('createLoop')[0]?.header?.caller).toBe('robot');
    await cli(['--json', '--caller', 'me', 'loop', 'create', 'y'], { env });
    expect(member.requests('createLoop')[1]?.header?.caller).toBe('me');
  });
});

describe('U1: status --local', () => {
  const getStatus = (fault: string) =>
    message({ clusterId: 'c', memberId: 'm', fault, streams: [{ streamId: 1, leaderClientAddress: '' }] });

  test('a member that answers is well, even if nobody leads; other endpoints are not asked', async () => {
    member.leads('');
    expect((await ask('status')).code).toBe(4);
    const endpoints = `${member.address},127.0.0.1:1`;
    const { code, stdout, stderr } = await cli(['status', '--local', '--json', '--endpoints', endpoints]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout).endpoints).toHaveLength(1);
  });

  test('4: it has a fault, or does not answer', async () => {
    member.script('getStatus', getStatus('the disk is full'));
    expect(await ask('status', '--local')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('the disk is full'),
    });
    member.crash();
    expect((await ask('status', '--local', '--deadline', '300ms')).code).toBe(4);
  });
});

describe('U1: exit codes', () => {
  test('3: rejected by the state, with the reason on stderr and in the JSON', async () => {
    member.script('commitPhase', stale);
    const args = ['phase', 'commit', 'nightly', 'ANALYZE', '--g', '5', '--token', '3'];
    const text = await ask(...args);
    expect(text).toEqual({ code: 3, stdout: '', stderr: 'quorate: STALE_FENCE: token 3 is old; begin again\n' });
    const json = await ask(...args, '--json');
    expect(json.code).toBe(3);
    expect(JSON.parse(json.stdout)).toEqual({
      error: {
        reason: 'STALE_FENCE',
        message: 'token 3 is old; begin again',
        details: { token: '3' },
        retryAfterMs: null,
      },
    });
  });

  test('4: nobody answers, or nobody leads in time', async () => {
    const gone = member.address;
    member.script('createLoop', refusal({ code: Code.UNAVAILABLE, message: 'no quorum', reason: 'NO_QUORUM' }));
    expect(await ask('loop', 'create', 'x', '--deadline', '300ms')).toMatchObject({
      code: 4,
      stderr: 'quorate: NO_QUORUM: no quorum\n',
    });
    member.crash();
    const { code, stderr } = await cli(['loop', 'list', '--endpoints', gone, '--deadline', '300ms']);
    expect(code).toBe(4);
    expect(stderr).toContain('check that they run');
    expect(stderr.trimEnd().split('\n').length).toBe(1);
  });

  test('5: the outcome is unknown', async () => {
    member.script('createLoop', CUT, SILENCE);
    const { code, stderr } = await ask('loop', 'create', 'x', '--deadline', '400ms');
    expect(code).toBe(5);
    expect(stderr).toMatch(/^quorate: INDETERMINATE: /);
  });

  test('6: the history is compacted', async () => {
    const gone = { code: Code.OUT_OF_RANGE, message: 'gone', reason: 'COMPACTED', metadata: { first_revision: '17' } };
    member.onWatch((stream) => stream.emit('error', statusError(gone)));
    const { code, stderr } = await ask('watch', '--from', '1');
    expect(code).toBe(6);
    expect(stderr).toContain('17');
    const json = await ask('watch', '--from', '1', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { reason: 'COMPACTED', details: { first_revision: '17' } },
    });
  });

  test('130: interrupted', async () => {
    const controller = new AbortController();
    const watching = cli(['watch', '--endpoints', member.address], { signal: controller.signal });
    await expect.poll(() => member.watches.length).toBe(1);
    controller.abort(new Error('SIGINT'));
    expect(await watching).toEqual({ code: 130, stdout: '', stderr: '' });
  });

  test.each<[string, string[], string]>([
    ['no command', [], 'Usage: quorate'],
    ['unknown command', ['statsu'], 'Did you mean status?'],
    ['unknown option', ['status', '--jsn'], 'Did you mean --json?'],
    ['missing token', ['phase', 'commit', 'a', 'B'], "required option '--token <token>' not specified"],
    ['missing argument', ['loop', 'create'], "missing required argument 'name'"],
    ['bad duration', ['status', '--deadline', 'soon'], 'Give a duration such as 500ms, 10s or 2m.'],
    ['bad number', ['phase', 'commit', 'a', 'B', '--token', 'x'], 'Give a whole number from 0 on.'],
    ['bad endpoint', ['status', '--endpoints', 'localhost'], '"localhost" is not host:port'],
    ['no endpoint', ['status', '--endpoints', ','], 'is not host:port'],
    ['unknown shell', ['completion', 'fish'], 'Allowed choices are bash'],
    [
      'bad number of members',
      ['dev', '--members', '9', '--data', '/nonexistent-quorate'],
      'a cluster has 1 to 7 members',
    ],
    ['bad rounds', ['demo', '--rounds', '0'], 'Give a number from 1 to 8.'],
    ['no such folder', ['demo', '--dir', '/nonexistent-quorate'], 'there is no such folder; choose another one'],
    ['no total', ['phase', 'progress', 'a', 'B', '--token', '1', '--completed', '3'], '--total is missing'],
  ])('2: %s', async (_name, args, text) => {
    const { code, stderr } = await cli(args);
    expect(stderr).toContain(text);
    expect(code).toBe(2);
    expect(stderr).not.toMatch(/\n\s+at /);
    const json = await cli([...args, '--json']);
    expect(json).toMatchObject({ code: 2, stderr });
    const { error } = JSON.parse(json.stdout);
    expect(error).toEqual({ reason: null, message: expect.stringMatching(/\S/), details: {}, retryAfterMs: null });
  });

  test('2: what a member finds wrong with a request', async () => {
    const wrong = { code: Code.INVALID_ARGUMENT, message: 'name: too long', reason: 'INVALID_ARGUMENT' };
    member.script('createLoop', refusal(wrong));
    expect(await ask('loop', 'create', 'x')).toMatchObject({
      code: 2,
      stderr: 'quorate: INVALID_ARGUMENT: name: too long\n',
    });
  });

  test('130: interrupted while it looks the open round up', async () => {
    const controller = new AbortController();
    member.script('getLoop', SILENCE);
    const args = ['phase', 'commit', 'nightly', 'ANALYZE', '--token', '3', '--endpoints', member.address];
    const committing = cli(args, { signal: controller.signal });
    await expect.poll(() => member.requests('getLoop').length).toBe(1);
    controller.abort(new Error('SIGINT'));
    expect(await committing).toEqual({ code: 130, stdout: '', stderr: '' });
    expect(member.requests('commitPhase')).toEqual([]);
  });

  test('2: a bad variable is named', async () => {
    const { code, stderr } = await cli(['status'], { env: { QUORATE_DEADLINE: 'soon' } });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'quorate: QUORATE_DEADLINE is "soon"; give a duration such as 500ms, 10s or 2m\n',
    });
  });

  test('a stack is shown with QUORATE_DEBUG=1 only', async () => {
    member.script('commitPhase', stale);
    const args = ['phase', 'commit', 'a', 'B', '--g', '1', '--token', '3', '--endpoints', member.address];
    expect((await cli(args, { env: { QUORATE_DEBUG: '1' } })).stderr).toMatch(/\n\s+at /);
  });
});

describe('U1: quorate server', () => {
  const file = `clusterId: demo
memberId: a
dataDir: ${'DATA'}
members:
  - {id: a, peerAddress: "127.0.0.1:7501", clientAddress: "127.0.0.1:7401"}
`;

  function config(text: string): string {
    const path = join(folder, 'quorate.yaml');
    writeFileSync(path, text.replace('DATA', join(folder, 'data')));
    return path;
  }

  test('--print-config shows where each value is from; dotted and dashed flags mean the same', async () => {
    const args = [
      'server',
      '--config',
      config(file),
      '--print-config',
      '--raft-tick-ms',
      '30',
      '--raft.election-ticks',
      '40',
    ];
    const { code, stdout } = await cli(args, { env: { QUORATE_LOG_LEVEL: 'warn' } });
    expect(code).toBe(0);
    expect(stdout).toContain('tickMs: 30 # flag --raft-tick-ms');
    expect(stdout).toContain('electionTicks: 40 # flag --raft-election-ticks');
    expect(stdout).toContain('level: warn # env QUORATE_LOG_LEVEL');
    const json = await cli([...args, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      config: { raft: { tickMs: 30 } },
      sources: { memberId: { from: 'file' } },
    });
  });

  test('every problem is a line of its own', async () => {
    const { code, stderr } = await cli(['server', '--config', config(`${file}raft: {tickMs: 0, electionTicks: 1}\n`)]);
    expect(code).toBe(2);
    const lines = stderr.trimEnd().split('\n');
    expect(lines.length).toBe(2);
    expect(lines[0]).toMatch(/^quorate: .*raft\.tickMs: must be/);
    expect(lines[1]).toMatch(/^quorate: .*raft\.electionTicks: must be/);
  });

  test.each<[string, string | null, string[], string]>([
    [
      'a wrong key',
      `${file}raft: {tikMs: 3}\n`,
      [],
      'raft.tikMs: unknown setting; the nearest valid one is raft.tickMs',
    ],
    ['no file', null, ['--config', '/nonexistent/quorate.yaml'], 'there is no such file'],
    ['a folder', null, ['--config', '/tmp'], 'it is a folder'],
    ['nothing', null, [], 'clusterId: is missing; give it in the file, with --cluster-id or as QUORATE_CLUSTER_ID'],
  ])('refuses %s with exit code 2', async (_name, text, args, expected) => {
    const given = text === null ? args : ['--config', config(text), ...args];
    const { code, stderr } = await cli(['server', ...given]);
    expect(stderr).toContain(expected);
    expect(code).toBe(2);
  });
});
