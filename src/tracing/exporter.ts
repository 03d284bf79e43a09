/**
 * Where traces go: off by default, on by the standard variables of OpenTelemetry. The exporter reads the rest of them itself
 * (OTEL_EXPORTER_OTLP_HEADERS, …_TIMEOUT, …_COMPRESSION; OTEL_BSP_…). Its packages are loaded only when traces are wanted: they
 * cost every start time and memory.
 */
import type { Tracer } from '@opentelemetry/api';

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what was not sent yet, for a while, and ends. */
  stop(): Promise<void>;
}

export type TracingEnv = Readonly<Record<string, string | undefined>>;

/** OTEL_EXPORTER_OTLP_ENDPOINT or …_TRACES_ENDPOINT is set, and nothing says that traces are not wanted. */
export function tracingWanted(env: TracingEnv): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || env.OTEL_TRACES_EXPORTER === 'none') return false;
  return Boolean(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT);
}

/** null: traces are not wanted. `member` names the instance. */
export async function startTracing(env: TracingEnv, version: string, member: string): Promise<Tracing | null> {
  if (!tracingWanted(env)) return null;
  const [{ OTLPTraceExporter }, resources, { BatchSpanProcessor, TracerProvider }] = await Promise.all([
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace'),
  ]);
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = resources;
  const own = { 'service.name': 'quorate', 'service.version': version, 'service.instance.id': member };
  const resource = defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [envDetector] }));
  const processor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter() });
  const provider = new TracerProvider({ resource, spanProcessors: [processor] });
  return { tracer: provider.getTracer('quorate', version), stop: () => provider.shutdown() };
}
