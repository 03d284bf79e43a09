/**
 * Issue 4, done when 7: what people may decide, and what is refused and why, over gRPC, over HTTP and on the command line; without a
 * quorum nothing is decided; and the record of it all verifies.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PhaseRef, QuorateClient, type SignedOverride } from '../../../src/client/client.ts';
import { type CliResult, spawnCli } from '../../cli/run-cli.ts';
import { cliPath } from '../../support/build.ts';
import { settled, waitFor } from '../wait.ts';
import { RecoveryKit } from './kit.ts';
import { blocked, Supervisors } from './supervisors.ts';

const WAIT_MS = 30_000;
/** One try is enough to be blocked, and blocked it stays. */
const POLICY = { compensatorTriesMax: 1, blockedMs: 3_600_000 };

let kit: RecoveryKit;
let supervisors: Supervisors;
const refs = new Map<string, PhaseRef>();

beforeAll(async () => {
  kit = await RecoveryKit.start('overrides');
  await kit.session.setPolicy(POLICY);
  supervisors = await Supervisors.appoint(kit, ['ada', 'bob', 'cyd', 'dan']);
  // Three are left, and two of them are needed.
  await supervisors.remove('dan', ['ada', 'dan']);
  for (const name of ['grpc', 'http', 'cli', 'minority']) refs.set(name, await blocked(kit, name));
  kit.provider.down = false;
}, 120_000);
afterAll(() => kit?.stop());

function refOf(name: string): PhaseRef {
  const ref = refs.get(name);
  if (ref === undefined) throw new Error(`${name} was not prepared`);
  return ref;
}

async function stateOf(name: string): Promise<string> {
  return (await kit.client.recoveries.get(refOf(name))).recovery.state;
}

async function endsClean(name: string): Promise<void> {
  const { recovery } = await kit.recovery(
    refOf(name),
    'ends clean',
    ({ recovery: { state } }) => state === 'CLEAN_EXIT',
  );
  expect(recovery.result).toBe('ROLLED_BACK');
  expect(kit.unmade().filter((key) => key.startsWith(`${name}-`))).toHaveLength(1);
}

interface HttpAnswer {
  readonly status: number;
  readonly body: { readonly recoveries?: number; readonly error?: { readonly reason: string } };
}

async function overHttp(httpAddress: string, signed: SignedOverride, traceId = signed.target): Promise<HttpAnswer> {
  const { target: _, ...body } = signed;
  const response = await fetch(`http://${httpAddress}/override/${encodeURIComponent(traceId)}`, {
    method: 'POST',
    body: JSON.stringify({ ...body, caller: 'runbook-7' }),
    signal: AbortSignal.timeout(WAIT_MS),
  });
  expect(response.headers.get('content-type')).toBe('application/json');
  return { status: response.status, body: (await response.json()) as HttpAnswer['body'] };
}

function run(...args: readonly string[]): Promise<CliResult> {
  return spawnCli(cliPath, [...args, '--endpoints', kit.cluster.endpoints.join(',')]).result;
}

/** What a shell does with `> name`. Resolves with the path. */
async function runTo(name: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const path = join(kit.folder, name);
  await writeFile(path, stdout);
  return path;
}

async function cliReason(...args: readonly string[]): Promise<string> {
  const { code, stdout } = await run(...args, '--json');
  expect(code).toBe(3);
  return (JSON.parse(stdout) as { error: { reason: string } }).error.reason;
}

describe('O1, O2: overrides', () => {
  it('over gRPC: each refusal has its reason and moves nothing; enough signatures do, once', async () => {
    const { session } = kit;
    const target = 'trace-grpc';
    const text = await supervisors.text(target);
    const good = supervisors.signed(text, ['ada', 'bob']);
    const late = supervisors.signed({ ...text, expiresAtMs: text.expiresAtMs - 120_000 }, ['ada', 'bob']);
    const [ada, bob] = good.signatures;
    if (ada === undefined || bob === undefined) throw new Error('two have signed');
    const flipped = { ...bob, signature: bob.signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) };
    const unknown = supervisors.signed(await supervisors.text('trace-nobody'), ['ada', 'bob']);
    const refusals: readonly (readonly [what: string, reason: string, signed: SignedOverride])[] = [
      ['one too few', 'SIGNATURES_TOO_FEW', { ...good, signatures: [ada] }],
      ['the same one twice', 'SIGNATURES_TOO_FEW', { ...good, signatures: [ada, ada] }],
      ['expired', 'OVERRIDE_EXPIRED', late],
      ['a later expiry', 'SIGNATURE_INVALID', { ...good, expiresAtMs: good.expiresAtMs + 1 }],
      ['another action', 'SIGNATURE_INVALID', { ...good, action: 'abort' }],
      ['another nonce', 'SIGNATURE_INVALID', { ...good, nonce: kit.nonce() }],
      ['another trace', 'SIGNATURE_INVALID', { ...good, target: 'trace-http' }],
      ['a changed signature', 'SIGNATURE_INVALID', { ...good, signatures: [ada, flipped] }],
      ['under a false name', 'SIGNATURE_INVALID', { ...good, signatures: [ada, { ...ada, supervisor: 'bob' }] }],
      ['by one who was removed', 'SUPERVISOR_UNKNOWN', supervisors.signed(text, ['ada', 'dan'])],
      ['a trace that nobody has', 'OVERRIDE_NO_TARGET', unknown],
    ];
    for (const [what, reason, signed] of refusals) {
      expect([what, await kit.reasonOf(session.override(signed))]).toEqual([what, reason]);
    }
    expect(await Promise.all(['grpc', 'http'].map(stateOf))).toEqual(['BLOCKED_COMPENSATOR', 'BLOCKED_COMPENSATOR']);

    // What was refused has used nothing up.
    expect(await session.override(good)).toMatchObject({ recoveries: 1 });
    await endsClean('grpc');
    expect(await kit.reasonOf(session.override(good))).toBe('OVERRIDE_REPLAYED');
  }, 60_000);

  it('over HTTP, at whichever member', async () => {
    const text = await supervisors.text('trace-http');
    const good = supervisors.signed(text, ['bob', 'cyd']);
    const tooFew = supervisors.signed(text, ['bob']);
    const replies = await Promise.all(kit.cluster.members.map(({ httpAddress }) => overHttp(httpAddress, tooFew)));
    for (const { status, body } of replies) {
      expect([status, body.error?.reason]).toEqual([403, 'SIGNATURES_TOO_FEW']);
    }
    const leader = await kit.cluster.waitForLeader();
    const follower = kit.cluster.members.find(({ id }) => id !== leader.id);
    const at = follower?.httpAddress ?? '';
    expect(await overHttp(at, good, 'trace-cli')).toMatchObject({
      status: 403,
      body: { error: { reason: 'SIGNATURE_INVALID' } },
    });
    expect(await stateOf('http')).toBe('BLOCKED_COMPENSATOR');
    expect(await overHttp(at, good)).toMatchObject({ status: 200, body: { recoveries: 1 } });
    await endsClean('http');
    expect(await overHttp(at, good)).toMatchObject({ status: 409, body: { error: { reason: 'OVERRIDE_REPLAYED' } } });
  }, 60_000);

  it('on the command line, with files that travel from one to the other', async () => {
    const [ada, cyd] = ['ada', 'cyd'].map((name) => join(kit.folder, `${name}.pem`)) as [string, string];
    await writeFile(ada, supervisors.pem('ada'));
    await writeFile(cyd, supervisors.pem('cyd'));
    const one = await runTo('ada.json', 'sign', '--key', ada, '--trace', 'trace-cli', '--action', 'abort');
    const resolve = ['override', 'abort', 'trace-cli', '--signature'];
    expect(await cliReason(...resolve, one)).toBe('SIGNATURES_TOO_FEW');
    expect(await stateOf('cli')).toBe('BLOCKED_COMPENSATOR');
    const two = await runTo('cyd.json', 'sign', '--key', cyd, '--with', one);
    expect(await run(...resolve, one, two)).toMatchObject({
      code: 0,
      stdout: 'abort of trace-cli: one recovery moved\n',
    });
    expect(await stateOf('cli')).toBe('HARD_FAILED');
    // Given up means given up: nobody calls the compensator any more.
    expect(kit.unmade().filter((key) => key.startsWith('cli-'))).toEqual([]);
    expect(await cliReason(...resolve, one, two)).toBe('OVERRIDE_REPLAYED');
  }, 60_000);

  it('O3: who was refused and why is in the audit log, whose export verifies and shows a change', async () => {
    const outcomes = new Map<string, number>();
    for await (const { records } of kit.client.overrides.exportAudit()) {
      for (const { command, outcome } of records) {
        if (command === 'override') outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
    // What a member turns away because a signature is false was never proposed; a false name is found by the state.
    expect(Object.fromEntries(outcomes)).toEqual({
      OK: 3,
      SIGNATURES_TOO_FEW: 6,
      SIGNATURE_INVALID: 1,
      SUPERVISOR_UNKNOWN: 1,
      OVERRIDE_EXPIRED: 1,
      OVERRIDE_NO_TARGET: 1,
      OVERRIDE_REPLAYED: 3,
    });
    const file = join(kit.folder, 'log.audit');
    expect((await run('audit', 'export', file)).code).toBe(0);
    // Three overrides of two signatures each, and the removal of dan.
    const sound = await spawnCli(cliPath, ['audit', 'verify', file]).result;
    expect(sound).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/8 signatures of supervisors verified\n.*\nsound\n$/),
    });
    const bad = join(kit.folder, 'bad.audit');
    await writeFile(bad, (await readFile(file, 'utf8')).replace('"OVERRIDE_EXPIRED"', '"OK"'));
    const found = await spawnCli(cliPath, ['audit', 'verify', bad]).result;
    expect(found).toMatchObject({ code: 1, stdout: expect.stringContaining('was changed') });
  }, 60_000);

  it('without a quorum nothing is decided; with one again the same override is carried out', async () => {
    const signed = supervisors.signed(await supervisors.text('trace-minority'), ['ada', 'bob', 'cyd']);
    const [left, ...others] = kit.cluster.members;
    if (left === undefined) throw new Error('there are three members');
    for (const one of others) one.kill('SIGKILL');
    await settled(others.map(({ exited }) => exited));
    const healthz = async (): Promise<number> => (await fetch(`http://${left.httpAddress}/healthz`)).status;
    await waitFor(async () => (await healthz()) === 503, WAIT_MS, 'the member that is left knows of no leader');
    await using client = await QuorateClient.connect({ endpoints: [left.clientAddress], deadlineMs: 2_000 });
    // The client learns of the others and asks them too: what it says is what the last one that it asked had to say.
    expect(['NO_QUORUM', 'UNAVAILABLE']).toContain(await kit.reasonOf(client.withoutSession.override(signed)));
    expect(await overHttp(left.httpAddress, signed)).toMatchObject({
      status: 503,
      body: { error: { reason: 'NO_QUORUM' } },
    });
    for (const one of others) one.start();
    await kit.cluster.waitForLeader(WAIT_MS);
    expect(await stateOf('minority')).toBe('BLOCKED_COMPENSATOR');
    expect(await kit.session.override(signed)).toMatchObject({ recoveries: 1 });
    await endsClean('minority');
  }, 90_000);
});
