import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AlertDelivery, type AlertDeliveryDeps } from '../../src/effector/alert-delivery.ts';
import { httpPost, type Post, type PostAnswer } from '../../src/effector/http-post.ts';
import type { AlertRow } from '../../src/machine/issue/types.ts';
import { Ward } from '../machine/recovery-kit.ts';
import { HookServer, status } from './hook-servers.ts';
import { quiet, Stage } from './stage.ts';

let posts: Post[];
let stage: Stage;
let givenUp: string[];

/** A ward with one alert: a recovery waits for a supervisor. */
function alarmed(alerts = 1): Ward {
  const ward = new Ward();
  ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'autoAttemptsMax', value: 0 }] });
  for (let i = 0; i < alerts; i++) {
    const loop = `l${i}`;
    ward.createLoop(loop, 'p');
    const { attempt } = ward.begin('A', { loop });
    const ref = { loop, g: 1, phase: 'A' };
    const faultAtMs = ward.machine.timeMs;
    ward.done('phaseInterrupted', { kind: 'interruptPhase', ref, attempt, cause: 'OPERATOR', detail: '', faultAtMs });
  }
  return ward;
}

beforeEach(() => {
  posts = [];
  givenUp = [];
  stage = new Stage(alarmed());
});

const alerts = (): readonly AlertRow[] => stage.ward.machine.rows.alert.range('', '\u007f', 100).map(([, row]) => row);

function delivery(answer: () => Promise<PostAnswer>, more: Partial<AlertDeliveryDeps> = {}): AlertDelivery {
  return new AlertDelivery({
    webhook: 'http://hook/',
    post: (post) => {
      posts.push(post);
      return answer();
    },
    clusterId: 'demo',
    onGivenUp: ({ name }, error) => givenUp.push(`${name}: ${error}`),
    onBug: (error) => stage.bugs.push(error),
    ...more,
  });
}

const answered =
  (code: number, body = '') =>
  async (): Promise<PostAnswer> => ({ kind: 'answered', status: code, body });
const pending = () => alerts().some(({ state }) => state === 'PENDING');

describe('V8: alerts go to the webhook', () => {
  test('posted with a key, and settled', async () => {
    stage.lead(delivery(answered(204)));
    await stage.until(() => !pending());
    expect(alerts()).toMatchObject([{ name: 'recovery_waits', state: 'DELIVERED', lastError: '' }]);
    const [alert] = alerts();
    expect(posts).toHaveLength(1);
    expect(posts[0]).toMatchObject({
      url: 'http://hook/',
      headers: { 'idempotency-key': `demo-alert-${alert?.alert}-${alert?.raisedAtMs}` },
    });
    const { state: _, lastError: __, ...fields } = alert ?? {};
    expect(JSON.parse(posts[0]?.body ?? '')).toEqual({ clusterId: 'demo', memberId: 'a', ...fields });
    for (let i = 0; i < 5; i++) await stage.tick();
    expect(posts).toHaveLength(1);
  });

  test('tried 20 times with growing waits, then given up, and said to be', async () => {
    const at: number[] = [];
    stage.lead(
      delivery(async () => {
        at.push(stage.clock.nowMs);
        return { kind: 'answered', status: 500, body: 'no\nluck' };
      }),
    );
    await stage.until(() => posts.length === 6, 500);
    await stage.until(() => !pending(), 10_000);
    expect(posts).toHaveLength(20);
    expect(new Set(posts.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
    const waits = at.slice(1).map((ms, i) => ms - (at[i] ?? 0));
    expect(waits.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
    expect(Math.max(...waits)).toBe(300_000);
    expect(waits.filter((ms) => ms === 300_000).length).toBeGreaterThan(5);
    expect(alerts()).toMatchObject([{ state: 'GIVEN_UP', lastError: 'HTTP 500: no luck' }]);
    expect(givenUp).toEqual(['recovery_waits: HTTP 500: no luck']);
  });

  test('a redirect, and a connection that fails, are failed tries', async () => {
    const bad: (() => Promise<PostAnswer>)[] = [answered(302), async () => ({ kind: 'failed', error: 'ECONNREFUSED' })];
    stage.lead(delivery(() => (bad.shift() ?? answered(200))()));
    await stage.until(() => !pending(), 500);
    expect(posts).toHaveLength(3);
    expect(alerts()).toMatchObject([{ state: 'DELIVERED' }]);
  });

  test('without a webhook they are settled at once, so that nothing piles up', async () => {
    stage.lead(delivery(answered(200), { webhook: null }));
    await stage.until(() => !pending());
    expect(posts).toEqual([]);
    expect(alerts()).toMatchObject([{ state: 'GIVEN_UP', lastError: 'no webhook is configured' }]);
    expect(givenUp).toEqual([]);
  });

  test('what was delivered is told until it is heard, and not posted again', async () => {
    let lost = 4;
    stage.fate = () => (lost-- > 0 ? 'lost' : 'applied');
    stage.lead(delivery(answered(200)));
    await stage.until(() => !pending());
    expect(posts).toHaveLength(1);
  });

  test('a new leader begins again; the old one says nothing any more', async () => {
    let answer = (): void => undefined;
    const old = stage.lead(
      delivery(() => new Promise((resolve) => (answer = () => resolve({ kind: 'answered', status: 200, body: '' })))),
    );
    await stage.until(() => posts.length === 1);
    stage.lead(delivery(answered(200)));
    answer();
    await quiet();
    expect(old.proposed).toEqual([]);
    await stage.until(() => !pending());
    expect(posts).toHaveLength(2);
    expect(posts[0]?.headers).toEqual(posts[1]?.headers);
  });

  test('many at once: bounded, the oldest first, and none is forgotten behind those that fail', async () => {
    stage = new Stage(alarmed(30));
    let underWay = 0;
    let most = 0;
    stage.lead(
      delivery(async () => {
        most = Math.max(most, ++underWay);
        await quiet();
        underWay--;
        return { kind: 'answered', status: posts.length <= 10 ? 503 : 200, body: '' };
      }),
    );
    await stage.until(() => !pending(), 100);
    expect(most).toBe(8);
    expect(alerts().map(({ state }) => state)).toEqual(Array.from({ length: 30 }, () => 'DELIVERED'));
    expect(stage.bugs).toEqual([]);
  });

  test('when the member stops, nothing more is posted', async () => {
    const signals: AbortSignal[] = [];
    const work = delivery(() => new Promise(() => undefined), {
      post: (post) => {
        signals.push(post.signal);
        return new Promise(() => undefined);
      },
    });
    stage.lead(work);
    await stage.until(() => signals.length === 1);
    work.close();
    expect(signals[0]?.aborted).toBe(true);
    for (let i = 0; i < 5; i++) await stage.tick();
    expect(signals).toHaveLength(1);
  });
});

describe('V8: over real HTTP', () => {
  let server: HookServer;

  beforeEach(async () => {
    server = await HookServer.listen(status(500, 'not yet'));
  });
  afterEach(() => server.close());

  test('a webhook that is down for a while gets the alert in the end', async () => {
    const post = httpPost({ ca: null, identity: null });
    stage.lead(delivery(answered(0), { webhook: server.url('/alerts'), post }));
    await stage.tick();
    await expect.poll(() => server.heard.length).toBe(1);
    server.answer = status(200);
    await expect
      .poll(async () => {
        await stage.tick(200);
        return pending();
      })
      .toBe(false);
    expect(server.heard.map(({ url, headers }) => [url, headers['content-type']])).toEqual([
      ['/alerts', 'application/json'],
      ['/alerts', 'application/json'],
    ]);
    expect(JSON.parse(server.heard[1]?.body ?? '')).toMatchObject({ name: 'recovery_waits', clusterId: 'demo' });
  });
});
