/** D1, D3, D4, D6: what the leader's detector proposes, over the real state machine and a clock that the test moves. */
import { describe, expect, it } from 'vitest';
import { Detector } from '../../src/detect/detector.ts';
import type { LeaderPort } from '../../src/node/leader-work.ts';
import { FakeLeader } from './harness.ts';

const LIMITS = { periodMs: 250, perTick: 8, proposalsMax: 16 };
const HEARTBEAT_MS = 1_000;
const TICK_MS = 20;
/** Default prior of ANALYZE, 15 s: P95 = 15 s + 1.6448536 × 7.5 s, times 1.6 (D2). */
const ANALYZE_TIMEOUT_MS = Math.ceil(1.6 * (15_000 + 1.6448536 * 7_500));

class Scene {
  readonly leader: FakeLeader;
  readonly detector = new Detector(LIMITS);
  port: LeaderPort & { leading: boolean };

  constructor(level = 3) {
    this.leader = new FakeLeader(level);
    if (level >= 3) this.policy({ heartbeatMs: HEARTBEAT_MS });
    this.port = this.leader.port();
    this.detector.lead(this.port);
  }

  policy(values: Record<string, number>): void {
    const list = Object.entries(values).map(([name, value]) => ({ name: name as 'heartbeatMs', value }));
    expect(this.leader.carryOut({ kind: 'setPolicy', values: list })?.ok).toBe(true);
  }

  loops(count: number, caller = 'agent'): void {
    for (let i = 0; i < count; i += 1) {
      this.leader.carryOut({ kind: 'createLoop', loop: `l${i}`, plan: '' });
      this.leader.begin(`l${i}`, 'ANALYZE', caller);
    }
  }

  tick(): void {
    this.leader.monotonicMs += TICK_MS;
    this.detector.tick(this.leader.monotonicMs);
  }

  /** Ticks for `ms`; agents beat with every tick, as do those in `beating`. */
  pass(ms: number, beating: readonly string[] = []): void {
    const endMs = this.leader.monotonicMs + ms;
    while (this.leader.monotonicMs < endMs) {
      for (const agent of beating) this.detector.heartbeat(agent);
      this.tick();
    }
  }

  /** Carries out what waits, and tells the detector of the events, as a member does. */
  async settle(): Promise<void> {
    const from = this.leader.bench.events.length;
    await this.leader.settleAll();
    this.detector.applied(this.leader.bench.events.slice(from));
  }

  kinds(): readonly string[] {
    return this.leader.proposed.map((body) => (body.kind === 'interruptPhase' ? body.cause : body.kind));
  }

  runState(loop = 'l0', phase = 'ANALYZE'): string | undefined {
    return this.leader.bench.machine.run(loop, 1, phase)?.state;
  }
}

describe('D1: an attempt without a commit', () => {
  it('is interrupted within a tick of the adaptive timeout, once, and latency counts from its last sign of life', async () => {
    const scene = new Scene();
    scene.loops(1);
    const begunMs = scene.leader.nowMs;
    scene.pass(ANALYZE_TIMEOUT_MS - TICK_MS);
    expect(scene.kinds()).toEqual([]);
    scene.pass(2 * TICK_MS);
    scene.pass(100);
    expect(scene.kinds()).toEqual(['TIMEOUT']);
    expect(scene.leader.proposed[0]).toMatchObject({
      ref: { loop: 'l0', g: 1, phase: 'ANALYZE' },
      attempt: 1,
      faultAtMs: begunMs,
    });
    expect(scene.leader.waiting[0]?.traceId).toBe('trace-l0');
    await scene.settle();
    expect(scene.runState()).toBe('FAILED_PARTIAL');
    scene.pass(60_000);
    expect(scene.kinds()).toEqual(['TIMEOUT']);
  });

  it('that commits in time is left alone', async () => {
    const scene = new Scene();
    scene.leader.carryOut({ kind: 'createLoop', loop: 'l0', plan: '' });
    const fence = scene.leader.begin('l0', 'ANALYZE', 'agent');
    scene.pass(ANALYZE_TIMEOUT_MS - 100);
    const ref = { loop: 'l0', g: 1, phase: 'ANALYZE' };
    scene.leader.carryOut(
      { kind: 'commitPhase', ref, token: fence as never, result: '', vectorClock: [] },
      '',
      'agent',
    );
    scene.pass(60_000);
    expect(scene.kinds()).toEqual([]);
  });

  it('a thousand at once: a bounded number under way, every one interrupted in the end', async () => {
    const scene = new Scene();
    scene.loops(1_000);
    scene.pass(ANALYZE_TIMEOUT_MS + TICK_MS);
    for (let round = 0; round < 500 && scene.leader.proposed.length < 1_000; round += 1) {
      scene.tick();
      expect(scene.leader.waiting.length).toBeLessThanOrEqual(LIMITS.proposalsMax);
      await scene.settle();
    }
    expect(scene.leader.proposed).toHaveLength(1_000);
    expect(new Set(scene.leader.proposed.map((body) => JSON.stringify(body))).size).toBe(1_000);
    for (let i = 0; i < 1_000; i += 1) expect(scene.runState(`l${i}`)).toBe('FAILED_PARTIAL');
  });

  it('a proposal that is lost is made again, after a while', async () => {
    const scene = new Scene();
    scene.loops(1);
    scene.pass(ANALYZE_TIMEOUT_MS + TICK_MS);
    await scene.leader.loseAll();
    scene.pass(900);
    expect(scene.kinds()).toEqual(['TIMEOUT']);
    scene.pass(200);
    expect(scene.kinds()).toEqual(['TIMEOUT', 'TIMEOUT']);
    await scene.settle();
    expect(scene.runState()).toBe('FAILED_PARTIAL');
  });

  it('DT3: is left alone while automation is paused, and found when the pause is over', async () => {
    const scene = new Scene();
    scene.policy({ automationPaused: 1 });
    scene.loops(1);
    scene.detector.heartbeat('silent');
    await scene.settle();
    scene.pass(10 * ANALYZE_TIMEOUT_MS);
    expect(scene.kinds()).toEqual(['markAgent']);
    scene.policy({ automationPaused: 0 });
    scene.tick();
    await scene.settle();
    expect(scene.runState()).toBe('FAILED_PARTIAL');
    expect(scene.kinds().slice(1).sort()).toEqual(['TIMEOUT', 'markAgent']);
  });

  it('is nothing below feature level 3', () => {
    const scene = new Scene(2);
    expect(scene.detector.heartbeat('a')).toBe('ok');
    scene.pass(1_000);
    expect(scene.kinds()).toEqual([]);
  });
});

describe('D1: progress past its SLA, D4: a partial commit', () => {
  it('interrupts with its own cause', async () => {
    const scene = new Scene();
    const phases = [{ name: 'WORK', priorMs: 600_000, slaMs: 5_000 }];
    scene.leader.carryOut({ kind: 'registerPlan', plan: 'p', phases });
    scene.leader.carryOut({ kind: 'createLoop', loop: 'slow', plan: 'p' });
    scene.leader.carryOut({ kind: 'createLoop', loop: 'half', plan: 'p' });
    scene.policy({ consensusMs: 2_000 });
    scene.leader.begin('slow', 'WORK', 'agent');
    scene.pass(2_000);
    const fence = scene.leader.begin('half', 'WORK', 'agent', ['a', 'b']);
    const finishedAtMs = scene.leader.nowMs;
    const ref = { loop: 'half', g: 1, phase: 'WORK' };
    scene.leader.carryOut({ kind: 'reportFinished', ref, token: fence as never, participant: 'a' }, '', 'a');
    scene.pass(2_000 - TICK_MS);
    expect(scene.kinds()).toEqual([]);
    scene.pass(2 * TICK_MS);
    expect(scene.leader.proposed).toMatchObject([{ ref, cause: 'PARTIAL_COMMIT', faultAtMs: finishedAtMs }]);
    scene.pass(1_000);
    expect(scene.kinds()).toEqual(['PARTIAL_COMMIT', 'SLA']);
    await scene.settle();
    expect([scene.runState('slow', 'WORK'), scene.runState('half', 'WORK')]).toEqual([
      'FAILED_PARTIAL',
      'FAILED_PARTIAL',
    ]);
  });
});

describe('DT2: a stall of this process, and an election', () => {
  it('holds nothing against anybody for the length of the stall', () => {
    const scene = new Scene();
    scene.loops(1);
    scene.pass(2_000);
    scene.leader.monotonicMs += ANALYZE_TIMEOUT_MS;
    scene.pass(ANALYZE_TIMEOUT_MS - TICK_MS);
    expect(scene.kinds()).toEqual([]);
    expect(scene.detector.stalls).toBe(1);
    scene.pass(3 * TICK_MS);
    expect(scene.kinds()).toEqual(['TIMEOUT']);
  });

  it('gives at least a heartbeat interval after a short one, and after taking the lead', () => {
    const scene = new Scene();
    scene.loops(1);
    scene.pass(ANALYZE_TIMEOUT_MS - 300);
    scene.leader.monotonicMs += 600;
    scene.pass(HEARTBEAT_MS - TICK_MS);
    expect(scene.kinds()).toEqual([]);
    scene.pass(3 * TICK_MS);
    expect(scene.kinds()).toEqual(['TIMEOUT']);

    const next = new Scene();
    next.loops(1);
    next.detector.depose();
    next.leader.monotonicMs += ANALYZE_TIMEOUT_MS;
    next.detector.lead(next.leader.port());
    next.pass(HEARTBEAT_MS - TICK_MS);
    expect(next.kinds()).toEqual([]);
    next.pass(2 * TICK_MS);
    expect(next.kinds()).toEqual(['TIMEOUT']);
  });

  it('after a depose nothing is proposed, and an answer that comes late changes nothing', async () => {
    const scene = new Scene();
    scene.loops(1);
    scene.pass(ANALYZE_TIMEOUT_MS + TICK_MS);
    scene.port.leading = false;
    scene.detector.depose();
    await scene.leader.loseAll();
    scene.pass(60_000);
    expect(scene.kinds()).toEqual(['TIMEOUT']);
    expect(scene.detector.heartbeat('a')).toBe('not-leader');
    expect(scene.detector.port).toBeNull();
  });
});

describe('D3: agents', () => {
  it('are marked healthy with the first beat, unhealthy after more than three missed, and their runs are interrupted', async () => {
    const scene = new Scene();
    scene.detector.heartbeat('agent one');
    await scene.settle();
    scene.loops(20, 'agent one');
    scene.leader.carryOut({ kind: 'createLoop', loop: 'other', plan: '' });
    scene.leader.begin('other', 'ANALYZE', 'agent');
    scene.pass(5_000, ['agent one']);
    expect(scene.kinds()).toEqual(['markAgent']);
    const seenMs = scene.leader.nowMs - TICK_MS;
    scene.pass(4 * HEARTBEAT_MS - 2 * TICK_MS);
    expect(scene.kinds()).toEqual(['markAgent']);
    scene.pass(2 * TICK_MS);
    expect(scene.leader.proposed.at(-1)).toEqual({
      kind: 'markAgent',
      agent: 'agent one',
      healthy: false,
      left: false,
      seenAtMs: seenMs,
    });
    await scene.settle();
    for (let round = 0; round < 10; round += 1) {
      scene.tick();
      expect(scene.leader.waiting.length).toBeLessThanOrEqual(LIMITS.proposalsMax);
      await scene.settle();
    }
    expect(scene.kinds().filter((kind) => kind === 'AGENT_DOWN')).toHaveLength(20);
    for (let i = 0; i < 20; i += 1) expect(scene.runState(`l${i}`)).toBe('FAILED_PARTIAL');
    expect(scene.runState('other')).toBe('RUNNING');
    expect(scene.leader.bench.events.map(({ kind }) => kind)).toContain('agent.down');
  });

  it('that come back are marked healthy, and what they begin while they are down is left to the deadlines', async () => {
    const scene = new Scene();
    scene.detector.heartbeat('a');
    await scene.settle();
    scene.pass(4 * HEARTBEAT_MS + TICK_MS);
    await scene.settle();
    scene.pass(100);
    scene.loops(1, 'a');
    scene.pass(2_000);
    expect(scene.kinds()).toEqual(['markAgent', 'markAgent']);
    expect(scene.detector.heartbeat('a')).toBe('ok');
    scene.detector.heartbeat('a');
    await scene.settle();
    expect(scene.leader.proposed.slice(2)).toMatchObject([{ kind: 'markAgent', healthy: true }]);
    expect(scene.detector.agentsWatched).toBe(1);
    expect(scene.runState()).toBe('RUNNING');
  });

  it('that said farewell are not missed, neither by this leader nor by the next one, and may come back', async () => {
    const scene = new Scene();
    scene.detector.heartbeat('a');
    await scene.settle();
    const { bench } = scene.leader;
    const from = bench.events.length;
    const seenAtMs = scene.leader.nowMs as never;
    scene.leader.carryOut({ kind: 'markAgent', agent: 'a', healthy: false, left: true, seenAtMs });
    scene.detector.applied(bench.events.slice(from));
    expect(scene.detector.agentsWatched).toBe(0);
    scene.pass(10 * HEARTBEAT_MS);
    const next = new Detector(LIMITS);
    next.lead(scene.leader.port());
    expect(next.agentsWatched).toBe(0);
    expect(scene.kinds()).toEqual(['markAgent']);
    scene.detector.heartbeat('a');
    await scene.settle();
    expect(scene.detector.agentsWatched).toBe(1);
  });

  it('get a fresh time under a new leader, which finishes what the one before began', async () => {
    const scene = new Scene();
    for (const agent of ['a', 'b']) scene.detector.heartbeat(agent);
    await scene.settle();
    scene.loops(3, 'a');
    scene.pass(3_500, ['b']);
    scene.pass(600, ['b']);
    await scene.settle();
    expect(scene.leader.proposed.at(-1)).toMatchObject({ kind: 'markAgent', agent: 'a', healthy: false });
    // It dies before it interrupts the runs.
    scene.port.leading = false;
    scene.detector.depose();
    const next = new Detector(LIMITS);
    const before = scene.leader.proposed.length;
    next.lead(scene.leader.port());
    const pass = (ms: number): void => {
      for (let at = 0; at < ms; at += TICK_MS) {
        scene.leader.monotonicMs += TICK_MS;
        next.tick(scene.leader.monotonicMs);
      }
    };
    pass(4 * HEARTBEAT_MS - TICK_MS);
    expect(scene.leader.proposed.slice(before)).toMatchObject([
      { cause: 'AGENT_DOWN', ref: { loop: 'l0' } },
      { cause: 'AGENT_DOWN', ref: { loop: 'l1' } },
      { cause: 'AGENT_DOWN', ref: { loop: 'l2' } },
    ]);
    pass(2 * TICK_MS);
    expect(scene.leader.proposed.at(-1)).toMatchObject({ kind: 'markAgent', agent: 'b', healthy: false });
  });

  it('many that begin to beat at once are taken a bounded number at a time', async () => {
    const scene = new Scene();
    const names = Array.from({ length: 50 }, (_, i) => `agent-${i}`);
    for (let round = 0; round < 5; round += 1) {
      for (const name of names) scene.detector.heartbeat(name);
      expect(scene.leader.waiting.length).toBeLessThanOrEqual(LIMITS.proposalsMax);
      await scene.settle();
    }
    expect(scene.detector.agentsWatched).toBe(50);
    expect(scene.leader.proposed).toHaveLength(50);
  });
});
