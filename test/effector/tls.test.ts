/** Hooks behind TLS: whom the member trusts, and how it shows who it is. The certificates are for tests, and valid for 100 years. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { GrpcHook } from '../../src/effector/grpc-hook.ts';
import { HttpHook } from '../../src/effector/http-hook.ts';
import { type HookTls, httpPost } from '../../src/effector/http-post.ts';
import { CompensatorService } from '../../src/gen/quorate/v1/compensator_pb.ts';
import { typedDefinition } from '../../src/rpc/service.ts';
import { aCall, HookServer, status } from './hook-servers.ts';

const pem = (name: string): Buffer => readFileSync(fileURLToPath(new URL(`tls/${name}`, import.meta.url)));
const ca = pem('ca.pem');
const identity = { cert: pem('client.pem'), key: pem('client.key') };
const never = new AbortController().signal;
const done = { kind: 'done' };

let close: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const one of close) await one();
  close = [];
});

/** Refuses whoever shows no certificate of the CA, when `mutual`. */
async function httpsHook(mutual: boolean): Promise<{ readonly target: string; readonly clients: string[] }> {
  const clients: string[] = [];
  const server = createServer({
    cert: pem('server.pem'),
    key: pem('server.key'),
    ...(mutual ? { ca, requestCert: true, rejectUnauthorized: true } : {}),
  });
  server.on('secureConnection', (socket: TLSSocket) => clients.push(String(socket.getPeerCertificate().subject?.CN)));
  server.on('tlsClientError', () => undefined);
  const hook = await HookServer.listen(status(200), server);
  close.push(() => hook.close());
  return { target: `https://127.0.0.1:${hook.port}/`, clients };
}

const callHttp = (tls: HookTls, target: string) => new HttpHook(httpPost(tls), null).call(aCall({ target }), never);

describe('L2: HTTPS', () => {
  test('a receiver that the CA vouches for is called', async () => {
    const { target } = await httpsHook(false);
    expect(await callHttp({ ca, identity: null }, target)).toEqual(done);
  });

  test('one that nobody vouches for is not', async () => {
    const { target } = await httpsHook(false);
    expect(await callHttp({ ca: null, identity: null }, target)).toMatchObject({
      kind: 'failed',
      error: expect.stringMatching(/certificate/),
    });
  });

  test('mutual TLS: the member shows its certificate, and is refused without', async () => {
    const { target, clients } = await httpsHook(true);
    expect(await callHttp({ ca, identity }, target)).toEqual(done);
    expect(clients).toEqual(['client']);
    expect(await callHttp({ ca, identity: null }, target)).toMatchObject({ kind: 'failed' });
  });
});

async function grpcsHook(mutual: boolean): Promise<string> {
  const server = new Server();
  server.addService(typedDefinition(CompensatorService), {
    compensate: (_call: unknown, callback: (error: null, value: unknown) => void) =>
      callback(null, { $typeName: 'quorate.v1.CompensateResponse', stale: false }),
  });
  const keys = [{ private_key: pem('server.key'), cert_chain: pem('server.pem') }];
  const credentials = ServerCredentials.createSsl(mutual ? ca : null, keys, mutual);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  close.push(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

async function callGrpc(tls: HookTls | null, target: string) {
  const hook = new GrpcHook(tls);
  close.push(() => hook.close());
  return hook.call(aCall({ target, deadlineMs: 1_000 }), never);
}

describe('L2: gRPC over TLS', () => {
  test('mutual TLS: the member shows its certificate, and is refused without', async () => {
    const target = await grpcsHook(true);
    expect(await callGrpc({ ca, identity }, target)).toEqual(done);
    expect(await callGrpc({ ca, identity: null }, target)).toMatchObject({ kind: 'failed' });
  });

  test('a receiver that nobody vouches for is not called, and one that does not encrypt neither', async () => {
    const target = await grpcsHook(false);
    expect(await callGrpc({ ca, identity: null }, target)).toEqual(done);
    expect(await callGrpc({ ca: null, identity: null }, target)).toMatchObject({ kind: 'failed' });
    expect(await callGrpc(null, target)).toMatchObject({ kind: 'failed' });
  });
});
