/** A whole member: its settings, its hooks of all kinds, its webhook and its budget, over real sockets and a real folder. */
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { runCompensationWorker } from '../../src/client/compensation-worker.ts';
import {
  type CompensateRequest,
  type CompensateResponse,
  CompensatorService,
} from '../../src/gen/quorate/v1/compensator_pb.ts';
import type { Compensator } from '../../src/machine/ledger/types.ts';
import { recoveryOf } from '../../src/machine/recovery/view.ts';
import type { CommandBody, CommandValue } from '../../src/machine/types.ts';
import { typedDefinition } from '../../src/rpc/service.ts';
import { loadConfig } from '../../src/server/config.ts';
import { formatProblem } from '../../src/server/config-problem.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { type RunningServer, startServer } from '../../src/server/main-server.ts';
import { type ClusterTimeMs, DATA_STREAM, type FencingToken } from '../../src/types/ids.ts';
import { HookServer, status } from './hook-servers.ts';

const WAIT = { timeout: 20_000, interval: 10 };
const ref = { loop: 'loop', g: 1, phase: 'ANALYZE' };

let folder: string;
let clientAddress: string;
let lines: { readonly msg: string }[];
let closing: (() => unknown)[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outside-'));
  lines = [];
  closing = [];
});

afterEach(async () => {
  for (const close of closing.reverse()) await close();
  await rm(folder, { recursive: true });
});

async function start(flags: Record<string, string>): Promise<RunningServer> {
  const [peer = 0, client = 0] = await freePorts(2);
  clientAddress = `127.0.0.1:${client}`;
  const given = {
    clusterId: 'demo',
    memberId: 'a',
    dataDir: join(folder, 'data'),
    members: JSON.stringify([{ id: 'a', peerAddress: `127.0.0.1:${peer}`, clientAddress }]),
    'wal.segmentBytes': String(4 * 1024 * 1024),
    ...flags,
  };
  const loaded = loadConfig({ flags: new Map(Object.entries(given)), env: {}, file: null }, folder);
  if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join('\n'));
  const logger = pino(
    { base: null },
    { write: (line: string) => void lines.push(JSON.parse(line) as { msg: string }) },
  );
  const server = await startServer(loaded.value.config, logger);
  closing.push(() => server.stop());
  const featureLevel = () => server.member.status(DATA_STREAM).featureLevel;
  await vi.waitFor(() => expect(featureLevel()).toBeGreaterThanOrEqual(3), WAIT);
  return server;
}

async function carryOut<K extends CommandValue['kind']>(
  server: RunningServer,
  _kind: K,
  body: CommandBody,
): Promise<Extract<CommandValue, { kind: K }>> {
  const request = { session: null, caller: 'agent', traceId: 'trace', body };
  const outcome = await server.member.mutate(DATA_STREAM, request, 10_000);
  if (outcome.kind !== 'applied' || !outcome.result.ok) throw new Error(JSON.stringify(outcome));
  return outcome.result.value as Extract<CommandValue, { kind: K }>;
}

async function brokenRun(server: RunningServer, compensators: readonly Compensator[]): Promise<void> {
  await carryOut(server, 'loopCreated', { kind: 'createLoop', loop: 'loop', plan: '' });
  const begin = { kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] } as const;
  const { token, attempt } = await carryOut(server, 'phaseBegun', begin);
  for (const [i, compensator] of compensators.entries()) await intent(server, token, `e${i + 1}`, compensator);
  const why = { cause: 'OPERATOR', detail: 'a test', faultAtMs: 0 as ClusterTimeMs } as const;
  await carryOut(server, 'phaseInterrupted', { kind: 'interruptPhase', ref, attempt, ...why });
}

function intent(server: RunningServer, token: FencingToken, key: string, compensator: Compensator) {
  return carryOut(server, 'intentRecorded', {
    kind: 'recordIntent',
    ref,
    token,
    key,
    description: key,
    compensator,
    costMicros: '0',
    limitMicros: '1',
    resource: '',
    operation: '',
  });
}

const recovery = (server: RunningServer) => recoveryOf(server.member.local(DATA_STREAM), ref);

async function grpcCompensator(undone: string[]): Promise<string> {
  const server = new Server();
  server.addService(typedDefinition(CompensatorService), {
    compensate: (
      { request }: ServerUnaryCall<CompensateRequest, CompensateResponse>,
      callback: sendUnaryData<CompensateResponse>,
    ) => {
      undone.push(request.key);
      callback(null, { $typeName: 'quorate.v1.CompensateResponse', stale: false });
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  closing.push(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

describe('hooks.allow', () => {
  test('what it does not name is refused at the intent, and not called when it was recorded before', async () => {
    const http = await HookServer.listen((_request, response) => response.end());
    closing.push(() => http.close());
    const server = await start({ 'hooks.allow': 'https://hooks.example/undo/, hooks.example' });
    await brokenRun(server, [{ kind: 'http', target: http.url(), payload: '' }]);
    await vi.waitFor(() => expect(recovery(server)?.lastError).toContain('hooks.allow of this member'), WAIT);
    expect(http.heard).toEqual([]);
    const client = await QuorateClient.connect({ endpoints: [clientAddress] });
    closing.push(() => client.close());
    const next = { loop: 'next', g: 1, phase: ref.phase };
    await client.withoutSession.createLoop('next');
    const { token } = await client.withoutSession.beginPhase(next);
    const say = (target: string) =>
      client.withoutSession.ledger.intent(next, token, { key: target, compensator: { kind: 'http', target } });
    await expect(say(http.url())).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(await say('https://hooks.example/undo/vm')).toMatchObject({ fresh: true });
  });
});

describe('L2: a member undoes effects', () => {
  test('over HTTP with a signature, over gRPC and by a worker, newest first', async () => {
    const undone: string[] = [];
    const http = await HookServer.listen(({ headers }, response) => {
      undone.push(String(headers['idempotency-key']));
      response.end();
    });
    closing.push(() => http.close());
    const grpc = await grpcCompensator(undone);
    await writeFile(join(folder, 'secret'), ' a secret\n');
    const server = await start({ 'hooks.hmacSecretFile': 'secret' });
    const stop = new AbortController();
    const worker = runCompensationWorker({
      endpoints: [clientAddress],
      queues: ['q'],
      signal: stop.signal,
      compensate: async ({ key }) => {
        undone.push(key);
        return 'done';
      },
    });
    closing.push(async () => {
      stop.abort();
      await worker;
    });
    await brokenRun(server, [
      { kind: 'http', target: http.url(), payload: '1' },
      { kind: 'grpc', target: grpc, payload: '2' },
      { kind: 'worker', target: 'q', payload: '3' },
      { kind: 'http', target: http.url(), payload: '4' },
    ]);
    await vi.waitFor(() => expect(recovery(server)?.result).toBe('ROLLED_BACK'), WAIT);
    expect(undone).toEqual(['e4', 'e3', 'e2', 'e1']);
    const [heard] = http.heard;
    const signature = createHmac('sha256', 'a secret')
      .update(heard?.body ?? '')
      .digest('hex');
    expect(heard?.headers['x-quorate-signature']).toBe(`sha256=${signature}`);
    expect(lines.filter(({ msg }) => msg === 'an effect was compensated')).toHaveLength(4);
  });

  test('L3, V8: a compensator that is down blocks the recovery, and the webhook is told', async () => {
    const alerts: string[] = [];
    const webhook = await HookServer.listen(({ body }, response) => {
      alerts.push((JSON.parse(body) as { name: string }).name);
      response.end();
    });
    const http = await HookServer.listen(status(500, 'down'));
    closing.push(
      () => webhook.close(),
      () => http.close(),
    );
    const server = await start({ alertWebhook: webhook.url() });
    const values = [{ name: 'compensatorBackoffMs', value: 1 }] as const;
    await carryOut(server, 'policySet', { kind: 'setPolicy', values });
    await brokenRun(server, [{ kind: 'http', target: http.url(), payload: '' }]);
    await vi.waitFor(() => expect(recovery(server)?.state).toBe('BLOCKED_COMPENSATOR'), WAIT);
    expect(http.heard).toHaveLength(5);
    await vi.waitFor(() => expect(alerts).toEqual(['sel_compensator_failed']), WAIT);
  });
});

describe('L4: a member and its budget', () => {
  test('a new file changes the verdict without a restart, a broken one does not; old rates are told to the webhook', async () => {
    const told: unknown[] = [];
    const webhook = await HookServer.listen(({ body }, response) => {
      told.push(JSON.parse(body));
      response.end();
    });
    closing.push(() => webhook.close());
    const budgetOf = (limit: string) =>
      writeFile(join(folder, 'budget.yaml'), `regions: {eu: {currency: EUR, limit: ${limit}}}`);
    await budgetOf('10');
    await writeFile(join(folder, 'fx.yaml'), 'date: 2020-01-01\nbase: EUR\nrates: {USD: 2}');
    const server = await start({ budgetFile: 'budget.yaml', fxFile: 'fx.yaml', alertWebhook: webhook.url() });
    const text = expect.stringMatching(/^the exchange rates of member a are of 2020-01-01, \d+ hours old$/);
    const stale = expect.objectContaining({ name: 'fx_stale', clusterId: 'demo', memberId: 'a', text });
    await vi.waitFor(() => expect(told).toEqual([stale]), WAIT);
    await carryOut(server, 'loopCreated', { kind: 'createLoop', loop: 'loop', plan: '' });
    const client = await QuorateClient.connect({ endpoints: [clientAddress] });
    closing.push(() => client.close());
    const { token } = await client.withoutSession.beginPhase(ref, { traceId: 'trace' });
    const compensator = { kind: 'worker', target: 'q' } as const;
    const spend = (key: string) =>
      client.withoutSession.ledger.intent(
        ref,
        token,
        { key, compensator, price: { amount: '12', currency: 'USD', region: 'eu' } },
        { traceId: 'trace' },
      );
    // 12 USD are 6 EUR; 10 EUR are allowed.
    expect(await spend('k1')).toMatchObject({ fresh: true });
    await expect(spend('k2')).rejects.toMatchObject({ reason: 'COST_CAP_EXCEEDED' });
    await budgetOf('much');
    await vi.waitFor(() => expect(lines.some(({ msg }) => msg.startsWith('the file cannot be used'))).toBe(true), WAIT);
    await expect(spend('k3')).rejects.toMatchObject({ reason: 'COST_CAP_EXCEEDED' });
    await budgetOf('20');
    await vi.waitFor(() => expect(lines.some(({ msg }) => msg === 'a new budget holds')).toBe(true), WAIT);
    expect(await spend('k4')).toMatchObject({ fresh: true });
  });
});

describe('settings of what is outside', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['a certificate without its key', { 'hooks.certFile': 'c.pem' }, /hooks.certFile: needs hooks.keyFile/],
    ['a key without its certificate', { 'hooks.keyFile': 'c.key' }, /hooks.keyFile: needs hooks.certFile/],
    ['a webhook that is no URL', { alertWebhook: 'example' }, /alertWebhook: must be an http or https URL/],
    ['an empty path', { budgetFile: '' }, /budgetFile: must be the path of a file/],
    ['a budget that is not there', { budgetFile: 'none.yaml' }, /budgetFile .*none.yaml: ENOENT/],
    ['a budget that is broken', { budgetFile: 'bad' }, /budgetFile .*bad: must be a map/],
    ['rates that are broken', { fxFile: 'bad' }, /fxFile .*bad: must be a map/],
    ['certificates that are none', { 'hooks.caFile': 'bad' }, /hooks.caFile, .* cannot be used together/],
    ['a damaged certificate', { 'hooks.caFile': 'damaged' }, /hooks.caFile, .* cannot be used together/],
    ['certificates that are not there', { 'hooks.caFile': 'none' }, /hooks.caFile .*none: ENOENT/],
    ['a list of targets that are none', { 'hooks.allow': 'ftp://a/' }, /hooks.allow: "ftp:\/\/a\/" is neither/],
    ['an empty secret', { 'hooks.hmacSecretFile': 'empty' }, /hooks.hmacSecretFile .*empty: it is empty/],
  ])('%s is a mistake of the configuration', async (_what, flags, expected) => {
    await writeFile(join(folder, 'bad'), '- 1\n');
    await writeFile(join(folder, 'empty'), '\n');
    const damaged = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    await writeFile(join(folder, 'damaged'), damaged);
    await expect(start(flags)).rejects.toThrow(expected);
  });
});
