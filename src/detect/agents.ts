/**
 * Heartbeats of agents (D3): who is heard is marked healthy, who is silent for too long unhealthy, and the runs that a silent
 * agent held when it was marked are interrupted. Which runs those are is read off the state (the caller's row says since when it
 * is down), so that the next leader finishes what this one began.
 */
import { agentOf, policyIn } from '../machine/detection/view.ts';
import type { RunRow } from '../machine/rows.ts';
import type { CommandBody } from '../machine/types.ts';
import type { LeaderPort } from '../node/leader-work.ts';
import { type ClusterTimeMs, clusterTimeMs } from '../types/ids.ts';
import { AgentWatch } from './agent-watch.ts';
import type { DetectorLimits } from './detector.ts';
import { Proposals } from './proposals.ts';
import { agentsOf, attemptKey, runsOf, signOfLifeMs } from './reading.ts';

export class AgentKeeper {
  readonly #port: LeaderPort;
  readonly #limits: DetectorLimits;
  readonly #watch = new AgentWatch();
  readonly #marks: Proposals;
  readonly #interrupts: Proposals;
  /** Agents that are down and may hold runs of before. */
  readonly #down = new Set<string>();

  /** Everybody who was healthy gets a full time of grace: under the leader before, or none, nobody is known to have been silent. */
  constructor(port: LeaderPort, interrupts: Proposals, limits: DetectorLimits) {
    this.#port = port;
    this.#limits = limits;
    this.#interrupts = interrupts;
    this.#marks = new Proposals(port, limits.proposalsMax);
    const nowMs = port.clock.monotonicMs();
    for (const { agent, healthy } of agentsOf(port.view)) {
      if (healthy) this.#watch.beat(agent, nowMs);
      else this.#down.add(agent);
    }
  }

  /** Agents that are heard. */
  get watched(): number {
    return this.#watch.size;
  }

  heartbeat(agent: string): void {
    const port = this.#port;
    const nowMs = port.clock.monotonicMs();
    if (this.#watch.has(agent) || agentOf(port.view, agent)?.healthy === true) {
      this.#watch.beat(agent, nowMs);
      return;
    }
    // Too many at once: it will beat again.
    this.#mark(agent, true, port.nowMs(), () => this.#watch.beat(agent, port.clock.monotonicMs()));
  }

  /** `mayJudge`: nobody has stalled (see pause-guard.ts). `paused`: DT3. */
  tick(nowMs: number, mayJudge: boolean, paused: boolean): void {
    this.#marks.tick(nowMs);
    if (paused) return;
    if (mayJudge) this.#judge(nowMs);
    for (const agent of this.#down) if (!this.#interruptRunsOf(agent)) this.#down.delete(agent);
  }

  /** The agent was marked down: by this leader, or by the one before in an entry that is applied only now. */
  agentDown(agent: string): void {
    this.#down.add(agent);
  }

  /** The agent said farewell. */
  agentLeft(agent: string): void {
    this.#watch.forget(agent);
    this.#down.delete(agent);
  }

  #judge(nowMs: number): void {
    const { view } = this.#port;
    const intervalMs = policyIn(view, 'heartbeatMs');
    const missesMax = policyIn(view, 'heartbeatMissesMax');
    const limit = this.#limits.perTick + this.#marks.held;
    for (const [agent, silentMs] of this.#watch.overdue(nowMs, intervalMs, missesMax, limit)) {
      const seenAtMs = clusterTimeMs(Math.max(0, Math.floor(this.#port.nowMs() - silentMs)));
      this.#mark(agent, false, seenAtMs, () => {
        // Heard meanwhile: its next beat finds it down, and marks it healthy again.
        this.#watch.forget(agent);
      });
    }
  }

  #mark(agent: string, healthy: boolean, seenAtMs: ClusterTimeMs, done: () => void): void {
    if (!this.#marks.mayPropose(agent)) return;
    this.#marks.propose(agent, { kind: 'markAgent', agent, healthy, left: false, seenAtMs }, '', (result) => {
      if (result?.ok === true) done();
    });
  }

  /** What `agent` held when it was marked down. False: nothing of it runs any more. */
  #interruptRunsOf(agent: string): boolean {
    const { view } = this.#port;
    const row = agentOf(view, agent);
    if (row === null || row.healthy) return false;
    let left = false;
    for (const run of runsOf(view, agent)) {
      // One that it began later shows that it lives, heartbeats or not: deadlines watch over it.
      if (run.state !== 'RUNNING' || run.startedAtMs > row.changedAtMs) continue;
      left = true;
      if (this.#interrupts.room <= 0) break;
      this.#interrupt(run, row.seenAtMs);
    }
    return left;
  }

  #interrupt(run: RunRow, seenAtMs: ClusterTimeMs): void {
    const { loop, g, phase, attempt, traceId } = run;
    const key = attemptKey(run);
    if (!this.#interrupts.mayPropose(key)) return;
    const faultAtMs = clusterTimeMs(Math.max(seenAtMs, signOfLifeMs(run)));
    const detail = `agent ${run.caller} was not heard since ${seenAtMs}`;
    const body = { kind: 'interruptPhase', ref: { loop, g, phase }, attempt, cause: 'AGENT_DOWN', detail, faultAtMs };
    // What became of it shows in the state: as long as the run runs, it is found again.
    this.#interrupts.propose(key, body as CommandBody, traceId, () => undefined);
  }
}
