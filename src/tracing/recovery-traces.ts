/**
 * One trace for each recovery, whose spans are its steps (V8): made from the recovery's record when it ends, so that it is whole
 * whoever led meanwhile. Made by the leader alone, in the order in which it applies; a recovery whose end is applied between two
 * leaders has a record and no trace.
 */
import { type Context, ROOT_CONTEXT, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { runKey } from '../machine/keys.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { LeaderPort, LeaderWork } from '../node/leader-work.ts';

export class RecoveryTraces implements LeaderWork {
  readonly #tracer: Tracer;
  #port: LeaderPort | null = null;

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  lead(port: LeaderPort): void {
    this.#port = port;
  }

  tick(): void {
    // Nothing is due by time.
  }

  depose(): void {
    this.#port = null;
  }

  applied(events: readonly MachineEvent[]): void {
    if (this.#port === null) return;
    const { view } = this.#port;
    for (const { kind, loop, g, phase } of events) {
      if (kind !== 'phase_recovery.finished') continue;
      const run = view.run(loop, g, phase);
      const row = run === null ? null : view.rows.recovery.get(runKey(loop, g, run.position));
      if (row !== null) traceRecovery(this.#tracer, row);
    }
  }
}

/** Times are those of the cluster, milliseconds since 1970. */
export function traceRecovery(tracer: Tracer, row: RecoveryRow): void {
  const endMs = row.finishedAtMs || row.steps.at(-1)?.finishedAtMs || row.detectedAtMs;
  const whole = tracer.startSpan(
    `recovery ${row.phase}`,
    {
      root: true,
      startTime: row.detectedAtMs,
      attributes: {
        'quorate.loop': row.loop,
        'quorate.g': row.g,
        'quorate.phase': row.phase,
        'quorate.attempt': row.attempt,
        'quorate.trace_id': row.traceId,
        'quorate.cause': row.cause,
        'quorate.result': row.result,
        'quorate.issue': row.issue,
        'quorate.detect_latency_ms': Math.max(0, row.detectedAtMs - row.faultAtMs),
      },
    },
    ROOT_CONTEXT,
  );
  if (row.result === 'HARD_FAILED') whole.setStatus({ code: SpanStatusCode.ERROR, message: row.lastError });
  const within: Context = trace.setSpan(ROOT_CONTEXT, whole);
  for (const { step, startedAtMs, finishedAtMs } of row.steps) {
    tracer.startSpan(step, { startTime: startedAtMs, attributes: { 'quorate.step': step } }, within).end(finishedAtMs);
  }
  whole.end(endMs);
}
