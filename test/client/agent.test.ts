import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Agent, checkpointCrc, QuorateClient, type Session } from '../../src/client/client.ts';
import { PhaseState } from '../../src/gen/quorate/v1/phase_pb.ts';
import { FakeMember, message, refusal, SILENCE } from './fake-member.ts';

const ref = { loop: 'nightly', g: 3, phase: 'CONSTRUCT' };
const refMessage = { loop: 'nightly', g: 3n, phase: 'CONSTRUCT' };
/** How often the cluster wants heartbeats here, milliseconds. */
const BEAT_MS = 20n;
let member: FakeMember;
let client: QuorateClient;
let session: Session;
let agent: Agent;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
  member.script('heartbeat', message({ heartbeatMs: BEAT_MS }));
  member.script('beginPhase', message({ header: { revision: 30n }, attempt: 2n, fencingToken: 9n, checkpoint: 'c-1' }));
  seen({});
  client = await QuorateClient.connect({ endpoints: [member.address], deadlineMs: 3_000, caller: 'builder' });
  session = await client.openSession();
  agent = new Agent(client, session);
});

afterEach(async () => {
  await agent.close();
  await client.close();
  member.crash();
});

/** What any member says of the run from now on. */
function seen(fields: object): void {
  const run = { ref: refMessage, state: PhaseState.RUNNING, attempt: 2n, changedRevision: 30n, ...fields };
  member.script('getPhaseRun', message({ run }));
}

const beats = () => member.requests('heartbeat').map(({ request }) => (request as { agents: string[] }).agents);

/** Resolves when `done` is true; looks after each heartbeat that arrives. */
async function until(done: () => boolean): Promise<void> {
  const endMs = performance.now() + 5_000;
  while (!done()) {
    if (performance.now() > endMs) throw new Error(`not within 5 s: ${done}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const fired = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });

describe('D3: heartbeats', () => {
  test('end with a farewell, after the last of them, and only when nobody goes by the name any more', async () => {
    const other = new Agent(client, session);
    await until(() => beats().length >= 1);
    await other.close();
    expect(member.requests('farewell')).toEqual([]);
    await agent.close();
    await agent.close();
    expect(member.requests('farewell').map(({ request }) => request)).toMatchObject([
      { agent: 'builder', header: { caller: 'builder' } },
    ]);
    expect(member.received.at(-1)?.method).toBe('farewell');
  });

  test('a farewell that does not arrive is no error', async () => {
    member.script('farewell', refusal({ code: Code.UNAVAILABLE, reason: 'SHUTTING_DOWN', message: 'no' }));
    await expect(agent.close()).resolves.toBeUndefined();
  });

  test('go on by themselves as often as the cluster wants them, until the agent is closed', async () => {
    await until(() => beats().length >= 3);
    expect(new Set(beats().flat())).toEqual(new Set(['builder']));
    expect(client.heartbeats.intervalMs).toBe(Number(BEAT_MS));
    await agent.close();
    client.heartbeats.add('other');
    member.received.length = 0;
    await until(() => beats().length >= 3);
    expect(beats().at(-1)).toEqual(['other']);
  });

  test('agents of one process share a call, and a thousand fit one', async () => {
    const release = Array.from({ length: 1_500 }, (_, i) => client.heartbeats.add(`agent-${i}`));
    await until(() => beats().flat().includes('agent-1499'));
    const lengths = beats().map((agents) => agents.length);
    expect(Math.max(...lengths)).toBe(1_000);
    // 1,501 with the one that was there before: two calls, not 1,501.
    expect(lengths).toContain(501);
    for (const stop of release) stop();
    member.received.length = 0;
    await until(() => beats().some((agents) => agents.length === 1));
    expect(beats().at(-1)).toEqual(['builder']);
  });

  test('a name that was added twice is alive until both are gone', async () => {
    const stop = client.heartbeats.add('other');
    client.heartbeats.add('other');
    stop();
    stop();
    member.received.length = 0;
    await until(() => beats().length >= 2);
    expect(beats().at(-1)).toEqual(['builder', 'other']);
  });

  test('follow the leader, and one that is lost is followed by the next', async () => {
    const other = await FakeMember.start();
    try {
      other.leads(other.address);
      other.script('heartbeat', message({ heartbeatMs: BEAT_MS }));
      const metadata = { leader: 'b', leader_address: other.address };
      member.script(
        'heartbeat',
        refusal({ code: Code.UNAVAILABLE, reason: 'NOT_LEADER', message: 'b leads', metadata }),
      );
      member.leads(other.address);
      await until(() => other.requests('heartbeat').length >= 2);
      other.script('heartbeat', SILENCE, message({ heartbeatMs: BEAT_MS }));
      const before = other.requests('heartbeat').length;
      await until(() => other.requests('heartbeat').length >= before + 3);
    } finally {
      other.crash();
    }
  });

  test('an agent needs a name', () => {
    const nameless = { ...client, caller: '', heartbeats: client.heartbeats } as unknown as QuorateClient;
    expect(() => new Agent(nameless, session)).toThrow(/has no name/);
    expect(new Agent(nameless, session, { name: 'x' }).name).toBe('x');
  });
});

describe('an attempt of an agent', () => {
  test('V4: reports with the checksum of the checkpoint, in its own name', async () => {
    // The check value of CRC-32 (ISO-HDLC) for the nine digits.
    expect(checkpointCrc('123456789')).toBe(0xcbf43926);
    const named = new Agent(client, session, { name: 'builder-7' });
    const attempt = await named.begin(ref, { traceId: 't-1', participants: ['builder-7', 'other'] });
    expect(attempt).toMatchObject({ attempt: 2, token: 9, checkpoint: 'c-1', ref });
    await attempt.report({ completed: 1, total: 2, checkpoint: 'ü' });
    await attempt.report({ note: 'no checkpoint' });
    await attempt.finished();
    await attempt.commit({ result: 'done' });
    const [first, second] = member.requests('reportProgress').map(({ request }) => request);
    expect(first).toMatchObject({ fencingToken: 9n, checkpoint: 'ü', checkpointCrc: checkpointCrc('ü') });
    expect(second).toMatchObject({ note: 'no checkpoint' });
    expect((second as { checkpointCrc?: number }).checkpointCrc).toBeUndefined();
    expect(member.requests('beginPhase')[0]?.request).toMatchObject({ participants: ['builder-7', 'other'] });
    for (const method of ['beginPhase', 'reportProgress', 'reportFinished', 'commitPhase']) {
      expect(member.requests(method)[0]?.header, method).toMatchObject({ caller: 'builder-7', traceId: 't-1' });
    }
    await named.close();
  });

  test('is lost when a report is refused, and asks no more', async () => {
    const attempt = await agent.begin(ref);
    member.script(
      'reportProgress',
      refusal({ code: Code.ABORTED, reason: 'STALE_FENCE', message: 'attempt 3 took over' }),
    );
    await expect(attempt.report({ note: 'x' })).rejects.toMatchObject({ reason: 'STALE_FENCE' });
    expect(await fired(attempt.signal)).toMatchObject({ reason: 'STALE_FENCE' });
    await expect(attempt.commit()).rejects.toMatchObject({ reason: 'STALE_FENCE' });
    expect(member.requests('commitPhase')).toEqual([]);
  });

  test('other refusals lose nothing', async () => {
    const attempt = await agent.begin(ref);
    const refused = refusal({ code: Code.RESOURCE_EXHAUSTED, reason: 'LIMIT_EXCEEDED', message: 'too many sub-steps' });
    member.script('reportProgress', refused);
    await expect(attempt.report({ note: 'x' })).rejects.toMatchObject({ reason: 'LIMIT_EXCEEDED' });
    expect(attempt.signal.aborted).toBe(false);
  });

  test.each<[string, object, string]>([
    ['another attempt took over', { attempt: 3n, changedRevision: 40n }, 'STALE_FENCE'],
    ['it was interrupted', { state: PhaseState.FAILED_PARTIAL, changedRevision: 40n }, 'PHASE_INTERRUPTED'],
    ['it was ended by others', { state: PhaseState.ABORTED, changedRevision: 40n }, 'PHASE_NOT_RUNNING'],
  ])('hears with a heartbeat that %s, also while it reports nothing', async (_, run, reason) => {
    const attempt = await agent.begin(ref);
    seen(run);
    expect(await fired(attempt.signal)).toMatchObject({ reason });
  });

  test('is not misled by a member that lags', async () => {
    seen({ state: PhaseState.ABORTED, attempt: 1n, changedRevision: 29n });
    const attempt = await agent.begin(ref);
    const looks = member.requests('getPhaseRun').length;
    await until(() => member.requests('getPhaseRun').length >= looks + 3);
    expect(attempt.signal.aborted).toBe(false);
  });

  test('run: begins, works, commits with what the work gives', async () => {
    member.script('commitPhase', message({ header: { revision: 33n }, nextG: 4n }));
    const ended = await agent.run(ref, async (attempt) => {
      await attempt.report({ completed: 1, total: 1 });
      return 'all';
    });
    expect(ended).toMatchObject({ revision: 33, nextG: 4 });
    expect(member.requests('commitPhase')[0]?.request).toMatchObject({ result: 'all', fencingToken: 9n });
    // It is over: nobody looks after it any more.
    member.received.length = 0;
    await until(() => beats().length >= 3);
    expect(member.requests('getPhaseRun')).toEqual([]);
  });

  test('run: work that throws is given up, and what it threw is thrown', async () => {
    const boom = new Error('no disk');
    const run = agent.run(ref, () => Promise.reject(boom));
    await expect(run).rejects.toBe(boom);
    expect(member.requests('abortPhase')[0]?.request).toMatchObject({ reason: 'no disk', hardFail: false });
    expect(member.requests('commitPhase')).toEqual([]);
  });

  test('run: work that leaves an effect open is not done: the commit is refused, and the attempt is given up', async () => {
    member.script('commitPhase', refusal({ code: Code.FAILED_PRECONDITION, reason: 'EFFECTS_OPEN', message: 'no' }));
    const run = agent.run(ref, () => Promise.resolve('all'));
    await expect(run).rejects.toMatchObject({ reason: 'EFFECTS_OPEN' });
    expect(member.requests('abortPhase')[0]?.request).toMatchObject({ hardFail: false });
  });

  test('run: a commit that fails for another reason is not given up: it may have been carried out', async () => {
    member.script(
      'commitPhase',
      refusal({ code: Code.FAILED_PRECONDITION, reason: 'PHASE_OUT_OF_ORDER', message: 'no' }),
    );
    await expect(agent.run(ref, () => Promise.resolve('all'))).rejects.toMatchObject({ reason: 'PHASE_OUT_OF_ORDER' });
    expect(member.requests('abortPhase')).toEqual([]);
  });

  test('run: an attempt that was lost is not given up: it is not this one that counts', async () => {
    seen({ attempt: 3n, changedRevision: 40n });
    const run = agent.run(ref, async (attempt) => {
      throw await fired(attempt.signal);
    });
    await expect(run).rejects.toMatchObject({ reason: 'STALE_FENCE' });
    expect(member.requests('abortPhase')).toEqual([]);
  });
});
