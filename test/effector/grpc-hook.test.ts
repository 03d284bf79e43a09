import { status as Code, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GrpcHook } from '../../src/effector/grpc-hook.ts';
import {
  type CompensateRequest,
  type CompensateResponse,
  CompensatorService,
} from '../../src/gen/quorate/v1/compensator_pb.ts';
import { typedDefinition } from '../../src/rpc/service.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { aCall } from './hook-servers.ts';

type Compensate = (request: CompensateRequest, callback: sendUnaryData<CompensateResponse>) => void;

const never = new AbortController().signal;
const ok = (stale: boolean): CompensateResponse => ({ $typeName: 'quorate.v1.CompensateResponse', stale });

let server: Server;
let target: string;
let heard: CompensateRequest[];
let answer: Compensate;
let hook: GrpcHook;

async function listen(address: string): Promise<number> {
  server = new Server();
  server.addService(typedDefinition(CompensatorService), {
    compensate: (
      { request }: ServerUnaryCall<CompensateRequest, CompensateResponse>,
      callback: sendUnaryData<CompensateResponse>,
    ) => {
      heard.push(request);
      answer(request, callback);
    },
  });
  return new Promise((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}

beforeEach(async () => {
  heard = [];
  answer = (_request, callback) => callback(null, ok(false));
  target = `127.0.0.1:${await listen('127.0.0.1:0')}`;
  hook = new GrpcHook(null);
});

afterEach(() => {
  hook.close();
  server.forceShutdown();
});

describe('L2: the gRPC hook', () => {
  test('says what the receiver needs', async () => {
    expect(await hook.call(aCall({ target }), never)).toEqual({ kind: 'done' });
    expect(heard).toEqual([
      expect.objectContaining({
        key: 'vm-1',
        token: 41n,
        attempt: 1,
        deadlineMs: 2_000n,
        confirmed: true,
        loop: 'loop',
        g: 3n,
        phase: 'CONSTRUCT',
        traceId: 'trace',
        payload: '{"vm":1}',
      }),
    ]);
  });

  test('the receiver has seen a higher token', async () => {
    answer = (_request, callback) => callback(null, ok(true));
    expect(await hook.call(aCall({ target }), never)).toEqual({ kind: 'stale' });
  });

  test.each([Code.INTERNAL, Code.UNAVAILABLE, Code.ABORTED, Code.CANCELLED])(
    'status %i is a failed try',
    async (code) => {
      answer = (_request, callback) => callback({ code, details: 'no luck' });
      const outcome = await hook.call(aCall({ target }), never);
      expect(outcome).toEqual({ kind: 'failed', error: `${Code[code]}: no luck` });
      // Not tried again behind the ledger's back.
      expect(heard).toHaveLength(1);
    },
  );

  test('no answer within the deadline', async () => {
    answer = () => undefined;
    const outcome = await hook.call(aCall({ target, deadlineMs: 100 }), never);
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringMatching(/^DEADLINE_EXCEEDED/) });
  });

  test('nobody listens; once somebody does, the same hook reaches it', async () => {
    const [port = 0] = await freePorts(1);
    const away = aCall({ target: `127.0.0.1:${port}`, deadlineMs: 500 });
    expect(await hook.call(away, never)).toMatchObject({
      kind: 'failed',
      error: expect.stringMatching(/^UNAVAILABLE/),
    });
    server.forceShutdown();
    await listen(`127.0.0.1:${port}`);
    await expect.poll(() => hook.call(away, never), { timeout: 5_000 }).toEqual({ kind: 'done' });
  });

  test('an answer that is too large', async () => {
    const definition = typedDefinition(CompensatorService).compensate;
    server.forceShutdown();
    server = new Server();
    server.addService(
      { compensate: { ...definition, responseSerialize: () => Buffer.alloc(1024 * 1024) } },
      { compensate: (_call: unknown, callback: sendUnaryData<CompensateResponse>) => callback(null, ok(false)) },
    );
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(target, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
    );
    const outcome = await hook.call(aCall({ target }), never);
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringMatching(/larger than max/) });
  });

  test('bytes that are no answer', async () => {
    const definition = typedDefinition(CompensatorService).compensate;
    server.forceShutdown();
    server = new Server();
    server.addService(
      { compensate: { ...definition, responseSerialize: () => Buffer.from([0xff, 0xff, 0xff]) } },
      { compensate: (_call: unknown, callback: sendUnaryData<CompensateResponse>) => callback(null, ok(false)) },
    );
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(target, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
    );
    expect(await hook.call(aCall({ target }), never)).toMatchObject({ kind: 'failed' });
  });

  test.each(['', 'nonsense', 'http://127.0.0.1:1/', '127.0.0.1:99999'])('%j is no address', async (address) => {
    const outcome = await hook.call(aCall({ target: address }), never);
    expect(outcome).toEqual({ kind: 'failed', error: `not host:port: ${address}`.trim() });
  });

  test('a call is given up when the member stops', async () => {
    const stop = new AbortController();
    answer = () => stop.abort();
    expect(await hook.call(aCall({ target }), stop.signal)).toMatchObject({ kind: 'failed' });
    expect(await hook.call(aCall({ target }), stop.signal)).toMatchObject({ kind: 'failed' });
    expect(heard).toHaveLength(1);
  });

  test('connections are bounded, and those in use are kept', async () => {
    const stop = new AbortController();
    let arrived = (): void => undefined;
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    answer = () => arrived();
    const waiting = hook.call(aCall({ target, deadlineMs: 10_000 }), stop.signal);
    await arrival;
    const others = Array.from({ length: 80 }, (_, i) => aCall({ target: `127.0.0.${i + 1}:1`, deadlineMs: 200 }));
    const outcomes = await Promise.all(others.map((one) => hook.call(one, never)));
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['failed']));
    stop.abort();
    expect(await waiting).toMatchObject({ kind: 'failed', error: expect.stringMatching(/^CANCELLED/) });
  });
});
