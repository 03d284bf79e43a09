/** The member's HTTP port: routes, and what a client can not do to it. */
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpServer } from '../../src/http/server.ts';
import { HTTP_BODY_BYTES_MAX } from '../../src/types/limits.ts';

const open: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function serve(requestMs = 5_000): Promise<{ base: string; errors: unknown[] }> {
  const errors: unknown[] = [];
  const server = new HttpServer({ onError: (error) => errors.push(error), requestMs });
  open.push(server);
  server.route('GET', '/healthz', () => ({ status: 200, body: 'ok\n' }), 'whether it is well');
  server.route('POST', '/override/<trace_id>', ({ params, body, query }) => ({
    status: 202,
    body: JSON.stringify({ ...params, bytes: body.length, dry: query.get('dry') }),
    type: 'application/json',
  }));
  server.route('GET', '/broken', () => {
    throw new Error('a secret');
  });
  const address = await server.listen('127.0.0.1:0');
  return { base: `http://${address}`, errors };
}

/** Sends `text` on a connection, and resolves with what came back when the server closes it. */
function raw(base: string, text: string): Promise<string> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = connect(Number(port), hostname, () => socket.write(text));
    socket.setEncoding('utf8').on('data', (part: string) => {
      got += part;
    });
    socket.on('close', () => resolve(got)).on('error', reject);
  });
}

describe('the HTTP port', () => {
  it('answers what is there, HEAD as GET without the body', async () => {
    const { base } = await serve();
    const got = await fetch(`${base}/healthz`);
    expect([got.status, await got.text(), got.headers.get('content-type')]).toEqual([
      200,
      'ok\n',
      'text/plain; charset=utf-8',
    ]);
    const head = await fetch(`${base}/healthz`, { method: 'HEAD' });
    expect([head.status, await head.text(), head.headers.get('content-length')]).toEqual([200, '', '3']);
  });

  it('hands over parts of the path, the query and the body', async () => {
    const { base } = await serve();
    const got = await fetch(`${base}/override/a%20b%2Fc?dry=1`, { method: 'POST', body: 'x'.repeat(1_000) });
    expect(got.status).toBe(202);
    expect(await got.json()).toEqual({ trace_id: 'a b/c', bytes: 1_000, dry: '1' });
  });

  it('says what there is when asked for something else, without repeating what could do harm', async () => {
    const { base } = await serve();
    for (const path of ['/', '/nothing', '/override/', '/override/a/b', '/override/%zz', `/${'x'.repeat(2_000)}`]) {
      const got = await fetch(base + path, { method: path.startsWith('/override') ? 'POST' : 'GET' });
      expect(got.status).toBe(404);
      const text = await got.text();
      expect(text).toContain('GET /healthz  whether it is well\nPOST /override/<trace_id>\n');
      expect(text.length).toBeLessThan(400);
    }
    const wrong = await fetch(`${base}/healthz`, { method: 'POST', body: 'x' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
  });

  it('refuses a body that is too large, whether it says so or not, and one that fits is taken', async () => {
    const { base } = await serve();
    const exact = await fetch(`${base}/override/t`, { method: 'POST', body: 'x'.repeat(HTTP_BODY_BYTES_MAX) });
    expect(exact.status).toBe(202);
    const told = await raw(base, `POST /override/t HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 ** 40}\r\n\r\n`);
    expect(told).toMatch(/^HTTP\/1.1 413 /);
    const size = HTTP_BODY_BYTES_MAX + 1;
    const chunked = `POST /override/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${'x'.repeat(size)}`;
    expect(await raw(base, chunked)).toMatch(/^HTTP\/1.1 413 /);
  });

  it('cuts off who is slow to say what it wants', async () => {
    const { base, errors } = await serve(100);
    expect(await raw(base, 'GET /healthz HTTP/1.1\r\nHo')).toMatch(/^(HTTP\/1.1 408 |$)/);
    expect(await raw(base, 'POST /override/t HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc')).toMatch(
      /^(HTTP\/1.1 408 |$)/,
    );
    expect(errors).toEqual([]);
  });

  it('tells nothing of a bug but that there is one', async () => {
    const { base, errors } = await serve();
    const got = await fetch(`${base}/broken`);
    expect([got.status, await got.text()]).toEqual([500, 'a bug of this member; its log says more\n']);
    expect(String(errors[0])).toContain('a secret');
  });

  it('says where it cannot listen', async () => {
    const { base } = await serve();
    const other = new HttpServer({ onError: () => undefined });
    open.push(other);
    await expect(other.listen(new URL(base).host)).rejects.toThrow(/EADDRINUSE/);
  });
});
