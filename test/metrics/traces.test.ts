/** V8: one trace for each recovery, whose spans are its steps. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { describe, expect, it } from 'vitest';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { startTracing, tracingWanted } from '../../src/tracing/exporter.ts';
import { RecoveryTraces, traceRecovery } from '../../src/tracing/recovery-traces.ts';
import { FakeLeader } from '../detect/harness.ts';
import { token } from '../machine/kit.ts';

function collector() {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return { tracer: provider.getTracer('test'), spans: () => exporter.getFinishedSpans() };
}

const ms = ([s, ns]: readonly [number, number]): number => s * 1_000 + ns / 1e6;

/** A recovery that rolls back, by the state machine itself. */
function recovered(leader: FakeLeader): void {
  const ref = { loop: 'loop', g: 1, phase: 'ANALYZE' };
  leader.carryOut({ kind: 'createLoop', loop: 'loop', plan: '' });
  leader.begin('loop', 'ANALYZE', 'agent');
  leader.monotonicMs += 60_000;
  const faultAtMs = leader.startMs as never;
  leader.carryOut({ kind: 'interruptPhase', ref, attempt: 1, cause: 'TIMEOUT', detail: '', faultAtMs }, 'trace-1');
  const row = (): RecoveryRow | undefined => leader.bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1];
  leader.carryOut({ kind: 'startRecovery', ref, token: row()?.token ?? token(0) });
  for (let turn = 0; turn < 9 && row()?.state !== 'CLEAN_EXIT'; turn += 1) {
    leader.monotonicMs += 1_000;
    const step = row()?.step ?? '';
    if (step === '') break;
    const ok = step !== 'vc_merge';
    leader.carryOut({ kind: 'completeStep', ref, token: row()?.token ?? token(0), step, ok, detail: '' });
  }
  expect(row()).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK' });
}

describe('V8: traces', () => {
  it('a recovery is one trace, made by the leader when it ends', () => {
    const { tracer, spans } = collector();
    const work = new RecoveryTraces(tracer);
    const leader = new FakeLeader();
    recovered(leader);
    work.applied(leader.bench.events);
    expect(spans()).toEqual([]);
    work.lead(leader.port());
    work.applied(leader.bench.events);
    work.depose();
    work.applied(leader.bench.events);

    const row = leader.bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1];
    const [root, ...others] = spans().filter(({ parentSpanContext }) => parentSpanContext === undefined);
    expect(others).toEqual([]);
    expect(root?.name).toBe('recovery ANALYZE');
    expect(root?.attributes).toMatchObject({ 'quorate.loop': 'loop', 'quorate.result': 'ROLLED_BACK' });
    const steps = spans().filter(({ name }) => name !== root?.name);
    expect(steps.map(({ name }) => name)).toEqual(row?.steps.map(({ step }) => step));
    expect(steps.length).toBeGreaterThanOrEqual(4);
    for (const [i, span] of steps.entries()) {
      expect(span.parentSpanContext?.spanId).toBe(root?.spanContext().spanId);
      expect(span.spanContext().traceId).toBe(root?.spanContext().traceId);
      expect([ms(span.startTime), ms(span.endTime)]).toEqual([row?.steps[i]?.startedAtMs, row?.steps[i]?.finishedAtMs]);
    }
    expect([ms(root?.startTime ?? [0, 0]), ms(root?.endTime ?? [0, 0])]).toEqual([
      row?.detectedAtMs,
      row?.finishedAtMs,
    ]);
  });

  it('one that failed for good is marked as an error', () => {
    const { tracer, spans } = collector();
    const row = {
      phase: 'P',
      steps: [],
      result: 'HARD_FAILED',
      lastError: 'refused',
      detectedAtMs: 5,
      finishedAtMs: 9,
    };
    traceRecovery(tracer, row as unknown as RecoveryRow);
    expect(spans()[0]?.status).toMatchObject({ code: 2, message: 'refused' });
  });

  it('are off by default, and on and off by the standard variables', async () => {
    expect(await startTracing({}, '1', 'm1')).toBeNull();
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBe(false);
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' })).toBe(true);
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:4318/v1/traces' })).toBe(true);
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', OTEL_SDK_DISABLED: 'TRUE' })).toBe(false);
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', OTEL_TRACES_EXPORTER: 'none' })).toBe(false);
  });

  it('arrive where the variables say', async () => {
    const got: { readonly path: string | undefined; readonly body: string }[] = [];
    const body = async (request: IncomingMessage): Promise<string> => {
      let text = '';
      for await (const part of request) text += String(part);
      return text;
    };
    const server = createServer((request, response) => {
      void body(request).then((text) => {
        got.push({ path: request.url, body: text });
        response.end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const before = process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint;
    try {
      const tracing = await startTracing(process.env, '1.2.3', 'm1');
      if (tracing === null) throw new Error('traces are wanted');
      const leader = new FakeLeader();
      recovered(leader);
      const work = new RecoveryTraces(tracing.tracer);
      work.lead(leader.port());
      work.applied(leader.bench.events);
      await tracing.stop();
    } finally {
      if (before === undefined) delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
      else process.env.OTEL_EXPORTER_OTLP_ENDPOINT = before;
      server.close();
    }
    expect(got.map(({ path }) => path)).toEqual(['/v1/traces']);
    const [resource] = JSON.parse(got[0]?.body ?? '{}').resourceSpans;
    expect(JSON.stringify(resource.resource.attributes)).toContain('"quorate"');
    expect(resource.scopeSpans[0].spans.map(({ name }: { name: string }) => name)).toContain('recovery ANALYZE');
  });
});
