/**
 * The detector (D1–D4, D6): looks at the deadlines of the state that are due, and at the agents that are silent, and proposes what
 * follows from it. What is overdue is the state's to say; this only says when to look. Runs on the leader.
 *
 * DT1  Nothing is proposed twice while the first is under way, and not more than a bounded number at a time.
 * DT2  Nothing is held against anybody within the quiet time after a stall of this process or an election (pause-guard.ts).
 * DT3  Nothing is held against anybody while the policy says that automation is paused.
 */

import type { DeadlineRow } from '../machine/detection/types.ts';
import { dueDeadlines, policyIn, watchOf } from '../machine/detection/view.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { LeaderPort, LeaderWork } from '../node/leader-work.ts';
import { clusterTimeMs } from '../types/ids.ts';
import { AgentKeeper } from './agents.ts';
import { PauseGuard } from './pause-guard.ts';
import { Proposals } from './proposals.ts';
import { attemptKey, signOfLifeMs } from './reading.ts';
import type { AgentHeartbeats } from './types.ts';

/** From here on there are deadlines and agents in the state. */
const DETECTION_LEVEL = 3;

export interface DetectorLimits {
  /** Longest gap between two ticks that is still usual, milliseconds; more than twice of it is a stall. */
  readonly periodMs: number;
  /** Proposals made in one tick, and under way at a time, of each kind. */
  readonly perTick: number;
  readonly proposalsMax: number;
}

export const DETECTOR_LIMITS: DetectorLimits = { periodMs: 500, perTick: 64, proposalsMax: 256 };

/** What one leadership knows. */
interface Office {
  readonly port: LeaderPort;
  readonly guard: PauseGuard;
  readonly interrupts: Proposals;
  readonly agents: AgentKeeper;
}

export class Detector implements LeaderWork, AgentHeartbeats {
  readonly #limits: DetectorLimits;
  #office: Office | null = null;
  /** Of this process, for the metrics. */
  #stallsBefore = 0;

  constructor(limits: DetectorLimits = DETECTOR_LIMITS) {
    this.#limits = limits;
  }

  /** Stalls of this process while it led. */
  get stalls(): number {
    return this.#stallsBefore + (this.#office?.guard.stalls ?? 0);
  }
  /** The port of the stream that this member leads; null: it does not lead. */
  get port(): LeaderPort | null {
    return this.#office?.port ?? null;
  }
  get agentsWatched(): number {
    return this.#office?.agents.watched ?? 0;
  }

  heartbeat(agent: string): 'ok' | 'not-leader' {
    if (this.#office === null) return 'not-leader';
    if (detects(this.#office.port)) this.#office.agents.heartbeat(agent);
    return 'ok';
  }

  // ------------------------------------------------------------------------------------------ LeaderWork

  lead(port: LeaderPort): void {
    const limits = this.#limits;
    const interrupts = new Proposals(port, limits.proposalsMax);
    const leastMs = policyIn(port.view, 'heartbeatMs');
    const guard = new PauseGuard(limits.periodMs, port.clock.monotonicMs(), leastMs);
    this.#office = { port, guard, interrupts, agents: new AgentKeeper(port, interrupts, limits) };
  }

  depose(): void {
    this.#stallsBefore = this.stalls;
    this.#office = null;
  }

  applied(events: readonly MachineEvent[]): void {
    for (const { kind, outcome } of events) {
      if (kind === 'agent.down') this.#office?.agents.agentDown(outcome);
      else if (kind === 'agent.left') this.#office?.agents.agentLeft(outcome);
    }
  }

  tick(nowMs: number): void {
    const office = this.#office;
    if (office === null) return;
    const { port, guard, interrupts, agents } = office;
    const mayJudge = guard.tick(nowMs, policyIn(port.view, 'heartbeatMs'));
    interrupts.tick(nowMs);
    if (!detects(port)) return;
    const paused = policyIn(port.view, 'automationPaused') === 1;
    if (mayJudge && !paused) this.#interruptOverdue(office);
    agents.tick(nowMs, mayJudge, paused);
  }

  #interruptOverdue({ port, interrupts }: Office): void {
    const { perTick } = this.#limits;
    // Those that are held stand among the first that are due.
    const due = dueDeadlines(port.view, port.nowMs(), perTick + interrupts.held);
    let proposed = 0;
    for (const row of due) {
      if (proposed === perTick || interrupts.room <= 0) return;
      const key = attemptKey(row);
      if (!interrupts.mayPropose(key)) continue;
      interruptFor(port, interrupts, key, row);
      proposed += 1;
    }
  }
}

function detects(port: LeaderPort): boolean {
  return port.view.featureLevel().level >= DETECTION_LEVEL;
}

function interruptFor(port: LeaderPort, interrupts: Proposals, key: string, row: DeadlineRow): void {
  const { loop, g, phase, attempt, kind, dueMs } = row;
  const run = port.view.run(loop, g, phase);
  const watch = watchOf(port.view, loop, g, phase);
  const seenMs = run === null ? dueMs : signOfLifeMs(run);
  const body = {
    kind: 'interruptPhase',
    ref: { loop, g, phase },
    attempt,
    cause: kind,
    detail: detailOf(row, seenMs, watch?.finished ?? []),
    faultAtMs: clusterTimeMs(kind === 'PARTIAL_COMMIT' ? (watch?.firstFinishedAtMs ?? dueMs) : seenMs),
  } as const;
  interrupts.propose(key, body, run?.traceId ?? '', () => undefined);
}

/** For people: what was seen. */
function detailOf({ kind, dueMs }: DeadlineRow, seenMs: number, finished: readonly string[]): string {
  switch (kind) {
    case 'TIMEOUT':
      return `no commit by ${dueMs}, the end of the adaptive timeout; last heard at ${seenMs}`;
    case 'SLA':
      return `no progress from ${seenMs} to ${dueMs}, the time that the plan allows`;
    case 'PARTIAL_COMMIT':
      return `only ${finished.length} of the participants had finished by ${dueMs}`;
  }
}
