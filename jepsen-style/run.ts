/** One run: a cluster, workloads, faults, and a folder with all that happened. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QuorateClient } from '../src/client/client.ts';
import { Cluster, SMALL_LOG } from './cluster/cluster.ts';
import { Ground } from './cluster/ground.ts';
import type { UnexpectedExit } from './cluster/member.ts';
import { TRACE_FOLDER } from './hooks.ts';
import { FAILOVER_MS_MAX, WRITES } from './levels.ts';
import { Injector } from './nemesis/injector.ts';
import { NEMESES } from './nemesis/table.ts';
import type { Fault } from './nemesis/types.ts';
import type { RunOptions } from './options.ts';
import { Random } from './random.ts';
import { Actor, History, RunClock } from './record/history.ts';
import { Sampler } from './record/sampler.ts';
import { eventually, pause } from './system/exec.ts';
import { FakeClock } from './system/faketime.ts';
import { Relay } from './system/relay.ts';
import { hasGround, type Tools } from './system/tools.ts';
import { Pinned } from './workloads/pinned.ts';
import { WORKLOADS } from './workloads/table.ts';
import { PATIENT_MS, type Running, type Workload } from './workloads/types.ts';

/** How long a healed cluster may take until everybody is well again. */
const SETTLE_MS = 90_000;
/** What a process rests between two operations, milliseconds: the machine is to have breath left for the members. */
const REST_MS = [20, 120] as const;
/** A member that ended by itself is started again after this, as a supervisor of the system would, milliseconds. */
const RESTART_MS = 1_000;

/**
 * Phases are interrupted by the processes of a workload only: a checker of what clients saw could not know of it otherwise. What a
 * recovery does then has not to wait for minutes, nor for a supervisor.
 */
const POLICY = {
  timeoutMinMs: 24 * 60 * 60 * 1000,
  autoAttemptsMax: 100,
  compensatorBackoffMs: 50,
  compensatorBackoffMaxMs: 1_000,
  compensatorDeadlineMs: 5_000,
  circuitMs: 1_000,
} as const;

export interface RunInput {
  readonly options: RunOptions;
  readonly schedule: readonly Fault[];
  readonly tools: Tools;
  readonly dir: string;
  /** Entry of the command line that the members run. */
  readonly cli: string;
  readonly log: (line: string) => void;
}

export interface RunOutcome {
  /** What is wrong and no checker of histories can see. */
  readonly findings: readonly string[];
  readonly startedAt: string;
  readonly faults: Readonly<Record<string, { injected: number; skipped: number; reasons: readonly string[] }>>;
  readonly operations: Readonly<Record<string, number>>;
  readonly leaders: ReadonlyMap<number, ReadonlySet<string>>;
  readonly ground: Ground['kind'];
}

/** A workload that is under way. */
interface Active {
  readonly workload: Workload;
  readonly history: History;
  readonly running: Running;
}

export class Run {
  readonly #input: RunInput;
  readonly #clock = new RunClock();
  readonly #findings: string[] = [];
  readonly #clients: { close(): unknown }[] = [];
  readonly #histories: History[] = [];
  #ground: Ground | null = null;
  #cluster: Cluster | null = null;
  #injector: Injector | null = null;
  #relay: Relay | null = null;
  #clocks: readonly FakeClock[] | null = null;
  #stopping = false;
  /** When the newest write was begun that has ended well. */
  #writeBegunNs = 0;
  /** How often each thing was said by a member that ended: once is enough to know. */
  readonly #exits = new Map<string, number>();

  constructor(input: RunInput) {
    this.#input = input;
  }

  /** On the way out, whichever: what this process made outside of itself goes. Idempotent. */
  cleanUpNow(): void {
    this.#stopping = true;
    this.#injector?.killNow();
    this.#relay?.killNow();
    this.#cluster?.killNow();
    this.#ground?.removeNow();
  }

  async carryOut(): Promise<RunOutcome> {
    const { options, schedule, tools, dir, log } = this.#input;
    mkdirSync(dir, { recursive: true });
    // Enough to run it again, should it not come to its end; the judge writes the rest.
    writeFileSync(join(dir, 'schedule.json'), `${JSON.stringify(schedule, null, 1)}\n`);
    writeFileSync(join(dir, 'run.json'), `${JSON.stringify({ seed: options.seed, options }, null, 1)}\n`);
    const kind = !options.loopback && hasGround(tools) ? 'namespaces' : 'loopback';
    const ground = await Ground.make(kind, options.members, join(dir, 'members'));
    this.#ground = ground;
    const cluster = await this.#startCluster(ground);
    log(`${options.members} members are up (${kind})`);
    const sampler = new Sampler(dir, cluster, this.#clock);
    const nemesisHistory = this.#history('nemesis', sampler, 'nemesis');
    const active: Active[] = [];
    for (const workload of WORKLOADS.filter(({ name }) => options.workloads.includes(name)))
      active.push(await this.#setUp(workload, cluster, sampler));
    const injector = this.#newInjector(cluster, nemesisHistory);
    sampler.start();
    await this.#underLoad(active, injector, schedule);
    await this.#finish(active, cluster);
    await sampler.stop();
    await Promise.all(this.#clients.map((client) => Promise.race([client.close(), pause(5_000)])));
    await cluster.stop();
    await Promise.all(this.#histories.map((history) => history.close()));
    this.cleanUpNow();
    return {
      findings: this.#findings,
      startedAt: this.#clock.startedAt,
      faults: Object.fromEntries(injector.counts),
      operations: Object.fromEntries(this.#histories.map(({ workload, length }) => [workload, length])),
      leaders: sampler.leaders,
      ground: kind,
    };
  }

  #finding(detail: string): void {
    this.#findings.push(`${(this.#clock.nowMs() / 1000).toFixed(1)} s: ${detail}`);
    this.#input.log(`FINDING: ${detail}`);
  }

  async #startCluster(ground: Ground): Promise<Cluster> {
    const { cli, options, tools } = this.#input;
    // Only where it is wanted: a library under every call for the time is not what users run.
    const wanted = tools.faketime === null && options.nemeses.some((name) => name.startsWith('clock-'));
    if (wanted) this.#clocks = ground.places.map(({ slot }) => new FakeClock(ground.folder, slot));
    const cluster = await Cluster.start(ground, {
      cli,
      members: options.members,
      flags: [...SMALL_LOG, '--trace-folder', join(this.#input.dir, TRACE_FOLDER)],
      env: (slot) => this.#clocks?.[slot]?.env ?? {},
      onExit: (exit) => this.#onExit(exit),
    });
    this.#cluster = cluster;
    await cluster.observer.withoutSession.setPolicy(POLICY);
    return cluster;
  }

  #onExit({ slot, id, code, signal }: UnexpectedExit): void {
    if (this.#stopping) return;
    const last = lastLine(join(this.#input.dir, 'members', `m${slot}.log`));
    const what = `${id} ended by itself (${signal ?? `exit code ${code}`}): ${last}`;
    const times = (this.#exits.get(what) ?? 0) + 1;
    this.#exits.set(what, times);
    if (times === 1) this.#finding(what);
    setTimeout(() => {
      if (!this.#stopping && this.#injector?.isTaken(slot) !== true) this.#cluster?.member(slot).start();
    }, RESTART_MS);
  }

  #newInjector(cluster: Cluster, history: History): Injector {
    const { network } = cluster.ground;
    this.#relay = network === null ? null : new Relay(network);
    const injector = new Injector({
      cluster,
      nemeses: NEMESES.filter(({ name }) => this.#input.options.nemeses.includes(name)),
      tools: this.#input.tools,
      relay: this.#relay,
      clocks: this.#clocks,
      cli: this.#input.cli,
      history,
      clock: this.#clock,
      log: this.#input.log,
      finding: (detail) => this.#finding(detail),
    });
    this.#injector = injector;
    return injector;
  }

  #history(workload: string, sampler: Sampler, file?: string): History {
    const listener: ConstructorParameters<typeof History>[3] = (op, latencyMs) => {
      sampler.saw(op, latencyMs);
      if (op.type === 'ok' && latencyMs !== null && WRITES.has(op.f))
        this.#writeBegunNs = Math.max(this.#writeBegunNs, op.time - latencyMs * 1e6);
    };
    const history = new History(this.#input.dir, workload, this.#clock, listener, file);
    this.#histories.push(history);
    return history;
  }

  async #setUp(workload: Workload, cluster: Cluster, sampler: Sampler): Promise<Active> {
    const history = this.#history(workload.name, sampler);
    const { endpoints, ground } = cluster;
    const keep = <T extends { close(): unknown }>(client: T): T => {
      this.#clients.push(client);
      return client;
    };
    const running = await workload.setUp({
      history,
      random: new Random(this.#input.options.seed, workload.name),
      clock: this.#clock,
      endpoints,
      dir: this.#input.dir,
      hostAddress: ground.hostAddress,
      connect: async (caller) => keep(await QuorateClient.connect({ endpoints, caller, deadlineMs: PATIENT_MS })),
      pin: (slot, caller) => keep(new Pinned(endpoints[slot] ?? '', caller)),
      log: this.#input.log,
      finding: (detail) => this.#finding(detail),
    });
    return { workload, history, running };
  }

  /** All processes at work, until the last fault is over. */
  async #underLoad(active: readonly Active[], injector: Injector, schedule: readonly Fault[]): Promise<void> {
    const { options } = this.#input;
    let over = false;
    const rest = new Random(options.seed, 'rest');
    const work = active.flatMap(({ workload, running }) =>
      Array.from({ length: workload.threads }, async (_, thread) => {
        const actor = new Actor(thread, workload.threads + 1);
        while (!over) {
          await running.step(actor);
          await pause(rest.between(...REST_MS));
        }
      }),
    );
    const endMs = this.#clock.nowMs() + options.minutes * 60_000;
    const shifted = schedule.map((fault) => ({ ...fault, startMs: fault.startMs + this.#clock.nowMs() }));
    const faults = Promise.all([injector.run(shifted, endMs), pause(endMs - this.#clock.nowMs())]);
    const processes = Promise.all(work);
    // Processes end when they are told to; one that fails has found a mistake of this harness, and the run is void.
    await Promise.race([faults, processes]);
    // A last failover has to be seen to its end.
    const healedNs = this.#clock.nowNs();
    await eventually(() => this.#writeBegunNs > healedNs, FAILOVER_MS_MAX, 50);
    over = true;
    await processes;
  }

  /** Everything healed: the cluster has to be well by itself, and then the last reads are made. */
  async #finish(active: readonly Active[], cluster: Cluster): Promise<void> {
    const { log } = this.#input;
    await cluster.ground.network?.healAll();
    const begunMs = this.#clock.nowMs();
    const wrong = await cluster.settle(SETTLE_MS);
    for (const complaint of wrong) this.#finding(`not well ${SETTLE_MS / 1000} s after the last fault: ${complaint}`);
    if (wrong.length === 0) log(`well again after ${((this.#clock.nowMs() - begunMs) / 1000).toFixed(1)} s`);
    for (const { workload, running } of active) {
      const actor = new Actor(workload.threads, workload.threads + 1);
      await running.finish(actor).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        this.#finding(`${workload.name}: what is read at the end could not be read: ${why}`);
      });
    }
  }
}

/** What a member had to say in the end. */
function lastLine(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  return (lines.at(-1) ?? '').slice(0, 400);
}
