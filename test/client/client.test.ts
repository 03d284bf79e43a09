import { status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CompactedError, IndeterminateError, QuorateClient, QuorateError } from '../../src/client/client.ts';
import { statusError } from '../../src/rpc/status.ts';
import { CUT, FakeMember, message, refusal, SILENCE, watchMessage } from './fake-member.ts';

const REF = { loop: 'l', g: 1, phase: 'ANALYZE' } as const;
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function members(count: number): Promise<FakeMember[]> {
  const started = await Promise.all(Array.from({ length: count }, () => FakeMember.start()));
  cleanups.push(() => {
    for (const member of started) member.crash();
  });
  for (const member of started) member.leads(started[0]?.address ?? '');
  return started;
}

async function connect(to: readonly FakeMember[], deadlineMs = 5_000): Promise<QuorateClient> {
  const client = await QuorateClient.connect({ endpoints: to.map((m) => m.address), caller: 'test', deadlineMs });
  cleanups.push(() => client.close());
  return client;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const notLeader = (address: string) =>
  refusal({
    code: Code.UNAVAILABLE,
    message: 'ask the leader',
    reason: 'NOT_LEADER',
    metadata: { leader_address: address },
  });
const noQuorum = refusal({ code: Code.UNAVAILABLE, message: 'no quorum', reason: 'NO_QUORUM' });
const indeterminate = refusal({ code: Code.DEADLINE_EXCEEDED, message: 'who knows', reason: 'INDETERMINATE' });
const stale = refusal({
  code: Code.FAILED_PRECONDITION,
  message: 'stale',
  reason: 'STALE_FENCE',
  metadata: { token: '3' },
});

describe('U2: leader discovery', () => {
  test('asks around for the leader and sticks to it', async () => {
    const [leader, ...others] = await members(3);
    const client = await connect([...others, leader as FakeMember]);
    for (let i = 0; i < 5; i++) await client.withoutSession.createLoop(`l${i}`);
    expect(leader?.requests('createLoop').length).toBe(5);
    expect(others.flatMap((member) => member.requests('createLoop'))).toEqual([]);
  });

  test('follows NOT_LEADER to the address it names', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    a.script('createLoop', notLeader(b.address));
    const client = await connect([a, b]);
    await client.withoutSession.createLoop('x');
    await client.withoutSession.createLoop('y');
    expect(a.requests('createLoop').length).toBe(1);
    expect(b.requests('createLoop').length).toBe(2);
  });

  test('fails over when the leader dies, although the others still name it', async () => {
    const [a, b, c] = (await members(3)) as [FakeMember, FakeMember, FakeMember];
    const client = await connect([a, b, c]);
    await using session = await client.openSession();
    await session.createLoop('x');
    a.crash();
    await session.createLoop('y');
    expect(b.requests('createLoop').length + c.requests('createLoop').length).toBe(1);
  });

  test('rejects with what to do when nobody answers', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.crash();
    const error = await failure(QuorateClient.connect({ endpoints: [a.address], deadlineMs: 300 }));
    expect(error).toBeInstanceOf(QuorateError);
    expect(error).toMatchObject({ reason: 'UNAVAILABLE', message: expect.stringContaining('check that they run') });
  });

  test('status reports every endpoint, dead ones too', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    const client = await connect([a, b], 1_000);
    b.crash();
    const [first, second] = await client.status();
    expect(first).toMatchObject({ endpoint: a.address, status: { clusterId: 'c', memberId: 'm', fault: null } });
    expect(second).toMatchObject({ endpoint: b.address, error: expect.any(String) });
  });
});

describe('R6: retries', () => {
  test('with a session, a cut connection is retried under the same sequence', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('beginPhase', CUT, CUT, message({ header: { revision: 9n }, attempt: 1n, fencingToken: 9n }));
    const client = await connect([a]);
    await using session = await client.openSession();
    await session.createLoop('l');
    const begun = await session.beginPhase(REF, { traceId: 't' });
    expect(begun).toMatchObject({ revision: 9, replayed: false, attempt: 1, token: 9 });
    const headers = a.requests('beginPhase').map((one) => one.header);
    expect(headers.map((h) => h?.sequence)).toEqual([2n, 2n, 2n]);
    expect(headers.map((h) => h?.sessionId)).toEqual([7n, 7n, 7n]);
    expect(headers.map((h) => h?.ackedThrough)).toEqual([1n, 1n, 1n]);
    expect(headers[0]).toMatchObject({ caller: 'test', traceId: 't' });
  });

  test('with a session, INDETERMINATE is retried under the same sequence', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    const done = message({ header: { revision: 9n, replayed: true }, nextG: 2n });
    a.script('commitPhase', indeterminate, indeterminate, done);
    b.script('commitPhase', done);
    const client = await connect([a, b]);
    await using session = await client.openSession();
    expect(await session.commitPhase(REF, 5)).toMatchObject({ nextG: 2, replayed: true });
    const sequences = [...a.requests('commitPhase'), ...b.requests('commitPhase')].map((one) => one.header?.sequence);
    expect(new Set(sequences)).toEqual(new Set([1n]));
  });

  test.each([
    ['a cut connection', CUT],
    ['INDETERMINATE', indeterminate],
  ])('without a session, %s is never retried', async (_name, answer) => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    a.script('createLoop', answer);
    const client = await connect([a, b]);
    const error = await failure(client.withoutSession.createLoop('x'));
    expect(error).toBeInstanceOf(IndeterminateError);
    expect(error).not.toBeInstanceOf(QuorateError);
    expect((error as IndeterminateError).safeToRetry).toBe(false);
    await expect((error as IndeterminateError).retry()).rejects.toBe(error);
    expect(a.requests('createLoop').length + b.requests('createLoop').length).toBe(1);
  });

  test('without a session, a definite refusal is retried', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('createLoop', noQuorum, noQuorum, message({ header: { revision: 4n }, g: 1n }));
    const client = await connect([a]);
    expect(await client.withoutSession.createLoop('x')).toEqual({ revision: 4, term: 0, replayed: false, g: 1 });
    expect(a.requests('createLoop').length).toBe(3);
  });

  test('a refusal by the state is final, with reason and details', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('commitPhase', stale);
    const client = await connect([a]);
    await using session = await client.openSession();
    const error = await failure(session.commitPhase(REF, 3));
    expect(error).toBeInstanceOf(QuorateError);
    expect(error).toMatchObject({ reason: 'STALE_FENCE', details: { token: '3' }, message: 'stale' });
    expect(a.requests('commitPhase').length).toBe(1);
  });

  test('RESOURCE_EXHAUSTED: the hint is honoured', async () => {
    const [a] = (await members(1)) as [FakeMember];
    const busy = { code: Code.RESOURCE_EXHAUSTED, message: 'busy', reason: 'OVERLOADED', retryAfterMs: 300 };
    a.script('createLoop', refusal(busy), message({ header: { revision: 1n } }));
    const client = await connect([a]);
    const startedMs = performance.now();
    await client.withoutSession.createLoop('x');
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(299);
  });

  test('out of time after a cut: IndeterminateError, and retry() asks under the same sequence', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('beginPhase', SILENCE);
    const client = await connect([a]);
    await using session = await client.openSession();
    const error = await failure(session.beginPhase(REF, { deadlineMs: 300 }));
    expect(error).toBeInstanceOf(IndeterminateError);
    expect((error as IndeterminateError).safeToRetry).toBe(true);
    await session.createLoop('between');
    a.script('beginPhase', message({ header: { revision: 9n }, attempt: 1n, fencingToken: 9n }));
    expect(await (error as IndeterminateError).retry()).toBeDefined();
    const sequences = a.requests('beginPhase').map((one) => one.header?.sequence);
    expect(new Set(sequences)).toEqual(new Set([1n]));
    expect(a.requests('createLoop').map((one) => one.header)).toMatchObject([{ sequence: 2n, ackedThrough: 0n }]);
    await session.createLoop('after');
    expect(a.requests('createLoop').at(-1)?.header).toMatchObject({ sequence: 3n, ackedThrough: 2n });
  });

  test('out of time with definite refusals only: QuorateError, nothing in doubt', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('createLoop', noQuorum);
    const client = await connect([a]);
    await using session = await client.openSession();
    const error = await failure(session.createLoop('x', { deadlineMs: 600 }));
    expect(error).toMatchObject({ name: 'QuorateError', reason: 'NO_QUORUM' });
    expect(a.requests('createLoop').length).toBeGreaterThan(1);
  });

  test('a session that expired between two tries leaves the outcome unknown', async () => {
    const [a] = (await members(1)) as [FakeMember];
    const expired = { code: Code.FAILED_PRECONDITION, message: 'expired', reason: 'SESSION_EXPIRED' };
    a.script('createLoop', CUT, refusal(expired));
    const client = await connect([a]);
    await using session = await client.openSession();
    expect(await failure(session.createLoop('x'))).toBeInstanceOf(IndeterminateError);
    expect(session.lost.aborted).toBe(true);
    expect(await failure(session.createLoop('y'))).toMatchObject({ reason: 'SESSION_EXPIRED' });
    expect(a.requests('createLoop').length).toBe(2);
  });

  test('reads are retried after anything', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    const loop = message({ loop: { name: 'l', plan: 'default', g: 1n }, plan: { name: 'default', phases: [] } });
    a.script('getLoop', CUT, indeterminate, noQuorum, loop);
    b.script('getLoop', loop);
    const client = await connect([a, b]);
    expect((await client.getLoop('l')).loop).toMatchObject({ name: 'l', g: 1, runs: [] });
  });

  test('a member that hangs does not use up the deadline', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    a.script('createLoop', SILENCE);
    a.script('getStatus', message({ streams: [{ streamId: 1, leaderClientAddress: a.address }] }), SILENCE);
    const client = await connect([a, b], 3_000);
    await using session = await client.openSession();
    b.leads(b.address);
    await session.createLoop('x');
    expect(b.requests('createLoop')[0]?.header?.sequence).toBe(1n);
  });

  test('an abort signal ends a call: unknown when it was sent, the reason itself when not', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('createLoop', SILENCE);
    const client = await connect([a]);
    await using session = await client.openSession();
    const controller = new AbortController();
    const pending = failure(session.createLoop('x', { signal: controller.signal }));
    await expect.poll(() => a.requests('createLoop').length).toBe(1);
    controller.abort(new Error('enough'));
    expect(await pending).toMatchObject({ name: 'IndeterminateError', cause: { message: 'enough' } });
    expect(await failure(session.createLoop('y', { signal: controller.signal }))).toMatchObject({ message: 'enough' });
    expect(a.requests('createLoop').length).toBe(1);
  });
});

describe('U2: sessions', () => {
  test('is kept alive in the background and closed at the end', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('openSession', message({ header: { revision: 1n }, sessionId: 7n, ttlMs: 60n }));
    const client = await connect([a]);
    {
      await using _session = await client.openSession({ ttlMs: 1_000 });
      await expect.poll(() => a.requests('keepAlive').length).toBeGreaterThan(2);
      expect(a.requests('keepAlive')[0]?.header).toMatchObject({ sessionId: 7n, sequence: 0n });
    }
    expect(a.requests('closeSession')[0]?.header).toMatchObject({ sessionId: 7n, sequence: 0n });
  });

  test('at most 64 requests are in flight, and each has a number of its own', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.script('createLoop', SILENCE);
    const client = await connect([a], 600);
    await using session = await client.openSession();
    const calls = Array.from({ length: 100 }, (_, i) => failure(session.createLoop(`l${i}`)));
    await expect.poll(() => a.requests('createLoop').length).toBe(64);
    a.script('createLoop', message({ header: { revision: 1n } }));
    await Promise.all(calls);
    const sequences = new Set(a.requests('createLoop').map((one) => one.header?.sequence));
    expect(sequences.size).toBe(100);
  });
});

describe('P4: watch', () => {
  test('goes on after a broken connection, without loss or duplicate', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    a.onWatch((stream) => {
      stream.write(watchMessage(0));
      stream.write(watchMessage(5, 3, 5), () => a.crash());
    });
    b.onWatch((stream, request) => {
      // A member that repeats what was delivered already must not lead to a duplicate.
      stream.write(watchMessage(8, 5, Number(request.fromRevision), 8));
    });
    const client = await connect([a, b]);
    const seen: number[] = [];
    for await (const event of client.watch({ fromRevision: 1 })) {
      seen.push(event.revision);
      if (event.revision === 8) break;
    }
    expect(seen).toEqual([3, 5, 6, 8]);
    expect(a.watches[0]?.request.fromRevision).toBe(1n);
    expect(b.watches[0]?.request.fromRevision).toBe(6n);
  });

  test('resumes from a progress notice, also when the watch began with "from now on"', async () => {
    const [a, b] = (await members(2)) as [FakeMember, FakeMember];
    a.onWatch((stream) => stream.write(watchMessage(41), () => a.crash()));
    b.onWatch((stream, request) => stream.write(watchMessage(50, Number(request.fromRevision))));
    const client = await connect([a, b]);
    const notices: number[] = [];
    for await (const event of client.watch({ loop: 'x', onRevision: (revision) => notices.push(revision) })) {
      expect(event.revision).toBe(42);
      break;
    }
    expect(notices).toEqual([41]);
    expect(a.watches[0]?.request).toMatchObject({ fromRevision: 0n, loop: 'x' });
  });

  test('a reader that was too slow is taken up again where it was', async () => {
    const [a] = (await members(1)) as [FakeMember];
    let streams = 0;
    a.onWatch((stream, request) => {
      streams += 1;
      if (streams > 1) {
        stream.write(watchMessage(9, Number(request.fromRevision)));
        return;
      }
      const slow = statusError({ code: Code.RESOURCE_EXHAUSTED, message: 'slow', reason: 'WATCH_TOO_SLOW' });
      stream.write(watchMessage(4, 4), () => stream.emit('error', slow));
    });
    const client = await connect([a]);
    const seen: number[] = [];
    for await (const event of client.watch({ fromRevision: 4 })) {
      seen.push(event.revision);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual([4, 5]);
  });

  test('a member that ends every watch as soon as it has begun is asked less and less often', async () => {
    const [a] = (await members(1)) as [FakeMember];
    a.onWatch((stream, request) => stream.write(watchMessage(Number(request.fromRevision)), () => stream.end()));
    const client = await connect([a]);
    // Full jitter at its longest, so that the pauses are known: 10, 20, 40, 80, 160 and 250 ms.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.999);
    cleanups.push(() => random.mockRestore());
    const controller = new AbortController();
    cleanups.push(() => controller.abort());
    const startedMs = performance.now();
    const over = client.watch({ fromRevision: 1, signal: controller.signal }).next();
    await expect.poll(() => a.watches.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(7);
    expect(performance.now() - startedMs).toBeGreaterThan(500);
    controller.abort();
    expect(await over).toEqual({ done: true, value: undefined });
  });

  test('says when the history is gone', async () => {
    const [a] = (await members(1)) as [FakeMember];
    const gone = { code: Code.OUT_OF_RANGE, message: 'gone', reason: 'COMPACTED', metadata: { first_revision: '17' } };
    a.onWatch((stream) => stream.emit('error', statusError(gone)));
    const client = await connect([a]);
    const error = await failure(client.watch({ fromRevision: 1 }).next());
    expect(error).toBeInstanceOf(CompactedError);
    expect(error).toMatchObject({ firstRevision: 17 });
  });

  test('ends with an error when the client is closed, instead of trying for ever', async () => {
    const [a] = (await members(1)) as [FakeMember];
    const client = await connect([a]);
    const next = failure(client.watch().next());
    await expect.poll(() => a.watches.length).toBe(1);
    await client.close();
    expect(await next).toMatchObject({ name: 'QuorateError', message: 'this client is closed' });
  });

  test('ends quietly with its signal, and closes the stream', async () => {
    const [a] = (await members(1)) as [FakeMember];
    const client = await connect([a]);
    const controller = new AbortController();
    const next = client.watch({ signal: controller.signal }).next();
    await expect.poll(() => a.watches.length).toBe(1);
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    await expect.poll(() => a.watches[0]?.stream.cancelled).toBe(true);
  });
});
