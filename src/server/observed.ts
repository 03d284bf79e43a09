/** What lets people see into a member: metrics, traces, the HTTP port. And the detector, whose figures are among them. */
import type { Logger } from 'pino';
import { Detector } from '../detect/detector.ts';
import { HttpServer } from '../http/server.ts';
import type { ProcessReading } from '../metrics/member.ts';
import { Metrics } from '../metrics/metrics.ts';
import type { LeaderWork } from '../node/leader-work.ts';
import type { MemberPort, MemberStatus } from '../node/types.ts';
import { startTracing, type Tracing, type TracingEnv } from '../tracing/exporter.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { bindHint } from './bind-hint.ts';
import type { ServerConfig } from './config.ts';
import type { IoMeter } from './io-meter.ts';
import { systemClock } from './system-ports.ts';
import { VERSION } from './version.ts';

/** How long what was not sent yet of traces may hold up the end of the process, milliseconds. */
const TRACES_STOP_MS = 2_000;

export class Observed {
  readonly metrics = new Metrics(VERSION, () => systemClock.monotonicMs());
  readonly detector = new Detector();
  readonly http: HttpServer;
  readonly #config: ServerConfig;
  readonly #logger: Logger;
  readonly #traces: Traces | null;

  private constructor(config: ServerConfig, logger: Logger, traces: Traces | null) {
    this.#config = config;
    this.#logger = logger;
    this.#traces = traces;
    this.http = new HttpServer({
      onError: (error) => logger.error({ err: error }, 'a request on the HTTP port failed'),
    });
  }

  static async open(config: ServerConfig, logger: Logger, env: TracingEnv = process.env): Promise<Observed> {
    return new Observed(config, logger, await openTraces(env, config.memberId));
  }

  /** What the leader does of it. */
  get works(): readonly LeaderWork[] {
    return this.#traces === null ? [this.detector] : [this.detector, this.#traces.work()];
  }

  /** Serves metrics and health where the settings say. Rejects with a message that says what to do. */
  async serve(member: MemberPort, meter: IoMeter): Promise<void> {
    this.metrics.attach(() => ({
      status: member.status(DATA_STREAM),
      view: member.local(DATA_STREAM),
      io: meter.usage(),
      detector: {
        stalls: this.detector.stalls,
        agentsWatched: this.detector.agentsWatched,
        nowMs: this.detector.port?.nowMs() ?? null,
      },
      process: processReading(),
    }));
    const metrics = async () => ({
      status: 200,
      body: await this.metrics.text(),
      type: this.metrics.contentType,
    });
    this.http.route('GET', '/metrics', metrics, 'metrics for Prometheus');
    this.http.route('GET', '/healthz', () => health(member.status(DATA_STREAM)), '200 while the member serves');
    const { httpListen } = this.#config;
    if (httpListen === '') return;
    try {
      const http = await this.http.listen(httpListen);
      this.#logger.info({ http }, 'HTTP port: metrics, health and overrides');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`cannot listen on ${httpListen} (httpListen): ${bindHint(why)}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.http.close();
    const stopped = this.#traces?.stop().catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'the last traces were not sent');
    });
    if (stopped === undefined) return;
    await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, TRACES_STOP_MS).unref())]);
  }
}

/** Traces of recoveries, and their exporter; loaded only where they are wanted. */
interface Traces extends Pick<Tracing, 'stop'> {
  work(): LeaderWork;
}

async function openTraces(env: TracingEnv, memberId: string): Promise<Traces | null> {
  const tracing = await startTracing(env, VERSION, memberId);
  if (tracing === null) return null;
  const { RecoveryTraces } = await import('../tracing/recovery-traces.ts');
  return { work: () => new RecoveryTraces(tracing.tracer), stop: () => tracing.stop() };
}

/** As the gRPC health service answers: the member is well and knows a leader. */
export function health(status: Pick<MemberStatus, 'fault' | 'raft' | 'alarms' | 'removed'>): {
  readonly status: number;
  readonly body: string;
} {
  const problem =
    status.fault ??
    (status.removed ? 'this member was removed from the cluster' : null) ??
    (status.alarms.includes('PARTITIONED') ? 'PARTITIONED: no contact with a majority' : null) ??
    (status.raft.leader === null ? 'no leader is known here' : null);
  return problem === null ? { status: 200, body: 'ok\n' } : { status: 503, body: `${problem}\n` };
}

function processReading(): ProcessReading {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapBytes: heapUsed,
    startedAt: Date.now() / 1_000 - process.uptime(),
  };
}
