/** What is known of how long the phases of a loop take, and which of its attempts are watched (D1, D2, D4). */
import { phi } from '../detect/phi.ts';
import type { GetDetectionResponse, PhaseDetection, WatchedAttempt } from '../gen/quorate/v1/recovery_pb.ts';
import type { MachineView } from '../machine/api.ts';
import type { Estimate } from '../machine/detection/estimate.ts';
import type { WatchRow } from '../machine/detection/types.ts';
import { durationsOf, estimateOf, policyIn, watchOf } from '../machine/detection/view.ts';
import { DEADLINE_KINDS } from '../machine/detection/watch.ts';
import { after, runKey, under } from '../machine/keys.ts';
import type { RunRow } from '../machine/rows.ts';
import type { PlanPhase } from '../machine/types.ts';
import { must } from '../types/assert.ts';
import { err, ok } from '../types/result.ts';
import { refMessage } from './convert.ts';
import { loopNotFound } from './phase-service.ts';
import type { Answer } from './unary.ts';

export function detectionAnswer(view: MachineView, name: string): Answer<GetDetectionResponse> {
  const loop = view.loop(name);
  if (loop === null) return err(loopNotFound(name));
  const { plan, phases } = must(view.plan(loop.plan), 'the plan of a loop');
  // An idle cluster stamps no times; this member's clock is what people read the answer by.
  const nowMs = Math.max(view.timeMs, Date.now());
  const known = phases.map((phase) => {
    const samples = durationsOf(view, plan, phase.name).length;
    return { phase, samples, estimate: estimateOf(view, plan, phase) };
  });
  const running = view.runs(name, loop.g).flatMap((run) => {
    const of = known[run.position];
    const watch = watchOf(view, name, loop.g, run.phase);
    if (run.state !== 'RUNNING' || of === undefined || watch === null) return [];
    return [watched(view, run, watch, of.estimate, nowMs)];
  });
  return ok({
    $typeName: 'quorate.v1.GetDetectionResponse',
    phases: known.map((one) => phaseDetection(one.phase, one.samples, one.estimate)),
    kMilli: policyIn(view, 'kMilli'),
    running,
    timeMs: BigInt(nowMs),
  });
}

function phaseDetection(phase: PlanPhase, samples: number, of: ReturnType<typeof estimateOf>): PhaseDetection {
  return {
    $typeName: 'quorate.v1.PhaseDetection',
    phase: phase.name,
    priorMs: BigInt(phase.priorMs),
    slaMs: BigInt(phase.slaMs),
    samples,
    meanMs: of.meanMs,
    deviationMs: Math.sqrt(of.variance),
    p95Ms: of.p95Ms,
    timeoutMs: BigInt(of.timeoutMs),
  };
}

function watched(
  view: MachineView,
  run: RunRow,
  watch: WatchRow,
  { meanMs, variance }: Estimate,
  nowMs: number,
): WatchedAttempt {
  const { startedAtMs, progressAtMs } = run;
  const key = runKey(run.loop, run.g, run.position);
  // One for each kind; none for an attempt that began before the cluster watched.
  const dues = view.rows.deadlineOf.range(under(key), after(key), DEADLINE_KINDS.length).map(([, { dueMs }]) => dueMs);
  return {
    $typeName: 'quorate.v1.WatchedAttempt',
    ref: refMessage(run),
    attempt: BigInt(run.attempt),
    caller: run.caller,
    startedAtMs: BigInt(startedAtMs),
    progressAtMs: BigInt(progressAtMs),
    timeoutMs: BigInt(watch.timeoutMs),
    dueAtMs: BigInt(dues.length === 0 ? 0 : Math.min(...dues)),
    participants: [...watch.participants],
    finished: [...watch.finished],
    autoAttempts: watch.autoAttempts,
    phi: phi(Math.max(0, nowMs - startedAtMs), meanMs, Math.sqrt(variance)),
  };
}
