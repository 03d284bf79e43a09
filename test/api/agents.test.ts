import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecoveryService } from '../../src/gen/quorate/v1/recovery_pb.ts';
import { agentKey } from '../../src/machine/detection/agent.ts';
import { runKey } from '../../src/machine/keys.ts';
import { memberId, revision } from '../../src/types/ids.ts';
import { HEARTBEAT_AGENTS_MAX } from '../../src/types/limits.ts';
import { at, ref, startApi, watchRow } from './recovery-rows.ts';
import { runRow, type TestApi } from './support.ts';

const { method } = RecoveryService;
let api: TestApi;

beforeEach(async () => {
  api = await startApi();
});

afterEach(() => api.stop());

const tables = () => api.member.view.state.tables.domain;

describe('D3: Heartbeat', () => {
  it('goes to the memory of the leader, all agents of the call, and says when the next is wanted', async () => {
    tables().policy.put('heartbeatMs', { name: 'heartbeatMs', value: 250, changedRevision: revision(5) });
    const answer = await api.call(method.heartbeat, { agents: ['b', 'a'] });
    expect(answer).toMatchObject({ ok: true, value: { heartbeatMs: 250n } });
    expect(api.beats).toEqual(['b', 'a']);
    expect(api.member.mutations).toEqual([]);
    expect(api.member.reads).toBe(0);
  });

  it('elsewhere it names the leader, so that clients go there', async () => {
    api.beatAnswer = 'not-leader';
    api.member.raftFields = { role: 'follower', leader: memberId('b') };
    const answer = await api.call(method.heartbeat, { agents: ['a'] });
    expect(answer.ok ? null : answer.error).toMatchObject({
      reason: 'NOT_LEADER',
      metadata: { leader: 'b', leader_address: 'b.test:7100' },
    });
    api.member.raftFields = { role: 'follower', leader: null };
    expect((await api.call(method.heartbeat, { agents: ['a'] })) as object).toMatchObject({
      error: { reason: 'NO_QUORUM' },
    });
    expect(api.beats).toEqual([]);
  });

  it('a leader that has not taken over yet says to try again', async () => {
    api.beatAnswer = 'not-leader';
    const answer = await api.call(method.heartbeat, { agents: ['a'] });
    expect(answer.ok ? null : answer.error).toMatchObject({ reason: 'NOT_LEADER', code: Code.UNAVAILABLE });
    expect(answer.ok ? null : answer.error.retryAfterMs).toBeGreaterThan(0);
  });

  it('below feature level 3 nobody is watched', async () => {
    api.member.view.feature = { level: 2, used: 2, pinned: false };
    expect(await api.call(method.heartbeat, { agents: ['a'] })).toMatchObject({
      error: { reason: 'FEATURE_LEVEL_TOO_LOW' },
    });
    expect(api.beats).toEqual([]);
  });

  it('refuses none, too many, and names that are none, before any of them counts', async () => {
    const refused = async (agents: string[]) => {
      const answer = await api.call(method.heartbeat, { agents });
      return answer.ok ? '' : answer.error.message;
    };
    expect(await refused([])).toMatch(/send 1 to 1000/);
    expect(await refused(Array.from({ length: HEARTBEAT_AGENTS_MAX + 1 }, String))).toMatch(/send 1 to 1000/);
    expect(await refused(['a', 'b\n'])).toMatch(/agents\[1\]: holds a control character/);
    expect(await refused(['a', ''])).toMatch(/agents\[1\]: is empty/);
    expect(api.beats).toEqual([]);
  });

  it('ListAgents gives them by name', async () => {
    for (const agent of ['b', 'a', 'c d']) {
      const row = { agent, healthy: agent !== 'b', seenAtMs: at(900), changedAtMs: at(950), issue: 0 };
      tables().agent.put(agentKey(agent), row);
    }
    const first = await api.call(method.listAgents, { pageSize: 2 });
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.agents).toMatchObject([
      { name: 'a', healthy: true, seenAtMs: 900n },
      { name: 'b', healthy: false, changedAtMs: 950n },
    ]);
    const second = await api.call(method.listAgents, { pageSize: 2, pageToken: first.value.nextPageToken });
    expect(second.ok && second.value.agents.map(({ name }) => name)).toEqual(['c d']);
  });
});

describe('D2: GetDetection', () => {
  it('shows the estimate of each phase by the closed formula', async () => {
    tables().durations.put('default p', { plan: 'default', phase: 'p', durationsMs: Array(10).fill(100) });
    const answer = await api.call(method.getDetection, { loop: 'l' });
    if (!answer.ok) throw new Error(answer.error.message);
    const [p, q] = answer.value.phases;
    expect(p).toMatchObject({ phase: 'p', samples: 10, meanMs: 100, deviationMs: 0, p95Ms: 100, timeoutMs: 1_000n });
    // The prior alone: m = 2000, deviation = 1000.
    expect(q).toMatchObject({ phase: 'q', samples: 0, meanMs: 2_000, deviationMs: 1_000, slaMs: 500n });
    expect(q?.p95Ms).toBeCloseTo(3_644.8536, 6);
    expect(q?.timeoutMs).toBe(5_832n);
    expect(answer.value).toMatchObject({ kMilli: 1_600, running: [] });
  });

  it('shows what is watched of a running attempt, and how suspect it is', async () => {
    const key = runKey('l', 3, 0);
    const now = Date.now();
    api.member.view.runRows = [runRow('l', 3, 'p', { startedAtMs: at(now - 3_000), progressAtMs: at(now - 500) })];
    tables().watch.put(key, watchRow());
    tables().deadlineOf.put(`${key} TIMEOUT`, { dueMs: now + 60 });
    tables().deadlineOf.put(`${key} PARTIAL_COMMIT`, { dueMs: now + 50 });
    const answer = await api.call(method.getDetection, { loop: 'l' });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(answer.value.running).toMatchObject([
      {
        ref,
        attempt: 2n,
        timeoutMs: 2_900n,
        dueAtMs: BigInt(now + 50),
        participants: ['a', 'b'],
        finished: ['a'],
        autoAttempts: 1,
      },
    ]);
    // Three seconds where one is expected, with a deviation of half a second: four deviations.
    expect(answer.value.running[0]?.phi).toBeGreaterThan(4.4);
    expect(answer.value.running[0]?.phi).toBeLessThan(6);
  });

  it('says which loop there is not', async () => {
    expect(await api.call(method.getDetection, { loop: 'x' })).toMatchObject({ error: { reason: 'LOOP_NOT_FOUND' } });
  });
});
