/** The demo's outside world keeps the rules that it is there to check. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Provider } from '../../src/demo/provider.ts';

let provider: Provider;

beforeEach(async () => {
  provider = await Provider.start();
});
afterEach(() => provider.stop());

async function post(path: string, body: unknown): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(`${provider.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

const compensate = (key: string, token: number, attempt = 1) =>
  post('/compensate', { key, token, attempt, loop: 'l', phase: 'CONSTRUCT' });

describe('the provider of the recovery demo', () => {
  test('makes a thing once for each key, and unmakes it once', async () => {
    expect(await post('/things', { key: 'k1', name: 'disk' })).toEqual({ status: 200, body: { made: true } });
    expect(await post('/things', { key: 'k1', name: 'disk' })).toEqual({ status: 200, body: { made: false } });
    expect(provider.things).toEqual(['disk']);
    expect(await compensate('k1', 3)).toEqual({ status: 200, body: { unmade: true } });
    expect(await compensate('k1', 3)).toEqual({ status: 200, body: { unmade: false } });
    expect(await post('/things', { key: 'k1', name: 'disk' })).toEqual({ status: 200, body: { made: false } });
    expect(provider.things).toEqual([]);
    expect(provider.calls.map(({ kind, outcome }) => `${kind} ${outcome}`)).toEqual([
      'make done',
      'make again',
      'unmake done',
      'unmake again',
      'make again',
    ]);
  });

  test('refuses a token lower than the highest that it has seen', async () => {
    expect((await compensate('k1', 5)).status).toBe(200);
    expect(await compensate('k2', 3)).toEqual({ status: 409, body: { stale: true, highest: 5 } });
    expect((await compensate('k2', 5)).status).toBe(200);
  });

  test('can be down, and can be held', async () => {
    provider.down = true;
    expect((await compensate('k1', 1)).status).toBe(503);
    provider.down = false;
    let go: () => void = () => undefined;
    provider.hold = new Promise((resolve) => {
      go = resolve;
    });
    const answer = compensate('k1', 1, 2);
    const seen = provider.call(({ attempt }) => attempt === 2);
    go();
    expect((await answer).status).toBe(200);
    expect((await seen).outcome).toBe('again');
  });

  test('can hold one call back while others pass it', async () => {
    const release = provider.holdNext();
    const arrived = provider.arrival();
    const late = compensate('k1', 3);
    await arrived;
    expect((await compensate('k1', 5)).status).toBe(200);
    release();
    expect(await late).toEqual({ status: 409, body: { stale: true, highest: 5 } });
  });

  test.each([
    ['/other', '{}', 404],
    ['/things', 'not json', 400],
    ['/things', '[1', 400],
  ])('%s with %s is refused', async (path, body, status) => {
    const response = await fetch(`${provider.url}${path}`, { method: 'POST', body });
    expect(response.status).toBe(status);
  });
});
