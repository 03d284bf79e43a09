import { createHmac } from 'node:crypto';
import { createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HttpHook } from '../../src/effector/http-hook.ts';
import { type HookTls, httpPost } from '../../src/effector/http-post.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { type Answer, aCall, HookServer, status } from './hook-servers.ts';

const NO_TLS: HookTls = { ca: null, identity: null };
const hook = new HttpHook(httpPost(NO_TLS), null);
const never = new AbortController().signal;

let server: HookServer;

beforeEach(async () => {
  server = await HookServer.listen(status(200));
});

afterEach(() => server.close());

const call = (answer: Answer, fields: Parameters<typeof aCall>[0] = {}) => {
  server.answer = answer;
  return hook.call(aCall({ target: server.url(), ...fields }), never);
};

describe('L2: the HTTP hook', () => {
  test('posts what the receiver needs to do it once and to refuse what is stale', async () => {
    expect(await call(status(204))).toEqual({ kind: 'done' });
    expect(server.heard).toHaveLength(1);
    const [{ method, url, headers, body } = { method: '', url: '', headers: {}, body: '' }] = server.heard;
    expect([method, url]).toEqual(['POST', '/undo']);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-key': 'vm-1',
      'x-quorate-token': '41',
      'content-length': String(Buffer.byteLength(body)),
    });
    expect(headers).not.toHaveProperty('x-quorate-signature');
    expect(JSON.parse(body)).toEqual({
      key: 'vm-1',
      token: 41,
      attempt: 1,
      deadlineMs: 2_000,
      confirmed: true,
      loop: 'loop',
      g: 3,
      phase: 'CONSTRUCT',
      traceId: 'trace',
      payload: '{"vm":1}',
    });
  });

  test('a key that is no header is escaped there and whole in the body', async () => {
    expect(await call(status(200), { key: 'größe 1\n' })).toEqual({ kind: 'done' });
    expect(server.heard[0]?.headers['idempotency-key']).toBe(encodeURIComponent('größe 1\n'));
    expect(JSON.parse(server.heard[0]?.body ?? '')).toMatchObject({ key: 'größe 1\n' });
  });

  test('with a secret the body is signed', async () => {
    const secret = Buffer.from('a secret');
    const signing = new HttpHook(httpPost(NO_TLS), secret);
    await signing.call(aCall({ target: server.url(), payload: 'ü' }), never);
    const [heard] = server.heard;
    const expected = createHmac('sha256', secret)
      .update(Buffer.from(heard?.body ?? '', 'utf8'))
      .digest('hex');
    expect(heard?.headers['x-quorate-signature']).toBe(`sha256=${expected}`);
  });

  test.each([
    [200, '', { kind: 'done' }],
    [202, 'garbage: {', { kind: 'done' }],
    [409, '{"stale":true}', { kind: 'stale' }],
    [409, '{"stale":"yes"}', { kind: 'failed', error: 'HTTP 409: {"stale":"yes"}' }],
    [409, 'null', { kind: 'failed', error: 'HTTP 409: null' }],
    [409, 'garbage', { kind: 'failed', error: 'HTTP 409: garbage' }],
    [200, '{"stale":true}', { kind: 'done' }],
    [500, 'out of\norder', { kind: 'failed', error: 'HTTP 500: out of order' }],
    [503, '', { kind: 'failed', error: 'HTTP 503' }],
    [404, '', { kind: 'failed', error: 'HTTP 404' }],
  ])('%i %j is %o', async (code, body, expected) => {
    expect(await call(status(code, body))).toEqual(expected);
  });

  test.each([301, 302, 303, 307, 308])('a redirect (%i) is refused, and what it names is not called', async (code) => {
    const outcome = await call(status(code, '', { location: server.url('/elsewhere') }));
    expect(outcome).toEqual({ kind: 'failed', error: `HTTP ${code}: redirects are not followed` });
    expect(server.heard.map(({ url }) => url)).toEqual(['/undo']);
  });

  test('a long error is cut', async () => {
    const outcome = await call(status(500, 'x'.repeat(10_000)));
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringMatching(/^HTTP 500: x{200,}…$/) });
    expect(outcome.kind === 'failed' ? outcome.error.length : 0).toBe(300);
  });

  test('an answer that is too large is a failure, and is not read to its end', async () => {
    let written = 0;
    const outcome = await call((_heard, response) => {
      response.writeHead(200);
      const more = (): void => {
        if (response.destroyed) return;
        written += 64 * 1024;
        response.write(Buffer.alloc(64 * 1024), () => setImmediate(more));
      };
      more();
    });
    expect(outcome).toEqual({ kind: 'failed', error: 'the answer is larger than 65536 bytes' });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  test('a body that drips does not stretch the deadline', async () => {
    const outcome = await call(
      (_heard, response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write('.'), 10);
        response.on('close', () => clearInterval(drip));
      },
      { deadlineMs: 100 },
    );
    expect(outcome).toEqual({ kind: 'failed', error: 'no complete answer within 100 ms' });
  });

  test('no answer at all', async () => {
    const outcome = await call(() => undefined, { deadlineMs: 50 });
    expect(outcome).toEqual({ kind: 'failed', error: 'no complete answer within 50 ms' });
  });

  test('a connection that breaks before and in the middle of the answer', async () => {
    expect(await call((_heard, response) => response.socket?.destroy())).toMatchObject({ kind: 'failed' });
    const half: Answer = (_heard, response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('half', () => response.socket?.destroy());
    };
    expect(await call(half)).toMatchObject({ kind: 'failed' });
  });

  test('nobody listens', async () => {
    const [port = 0] = await freePorts(1);
    const outcome = await hook.call(aCall({ target: `http://127.0.0.1:${port}/` }), never);
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringContaining('ECONNREFUSED') });
  });

  test('somebody who does not speak HTTP', async () => {
    const tcp = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('220 smtp\r\n');
    });
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    const address = tcp.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const outcome = await hook.call(aCall({ target: `http://127.0.0.1:${port}/` }), never);
    tcp.close();
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringMatching(/Parse Error/) });
  });

  test.each(['', 'nonsense', 'ftp://127.0.0.1/', 'file:///etc/passwd', '//host/path'])(
    '%j is no URL to call',
    async (target) => {
      expect(await hook.call(aCall({ target }), never)).toMatchObject({
        kind: 'failed',
        error: expect.stringContaining('not an http or https URL'),
      });
    },
  );

  test('a call is given up when the member stops', async () => {
    const stop = new AbortController();
    server.answer = () => stop.abort();
    const outcome = await hook.call(aCall({ target: server.url() }), stop.signal);
    expect(outcome).toEqual({ kind: 'failed', error: 'the call was given up: the member stops' });
    expect(await hook.call(aCall({ target: server.url() }), stop.signal)).toMatchObject({ kind: 'failed' });
    expect(server.heard).toHaveLength(1);
  });
});
