/** Runs suites: clusters come and go, and the systems are measured in turn (A B A B …), so that what the machine does meets both. */
import { Loopback, Machines } from './places.mjs';
import { median } from './stats.mjs';

export class Context {
  workspace;
  quick;
  median = median;

  constructor(workspace, quick) {
    this.workspace = workspace;
    this.quick = quick;
  }

  /** How much of something a run takes. */
  size(full, quick) {
    return this.quick ? quick : full;
  }
}

export class Runner {
  #context;
  #kinds;
  #samples;
  #say;
  /** One for each system, for suites that take machines from each other. */
  #machines = null;

  /** @param kinds classes of systems, the judged one first */
  constructor({ context, kinds, samples, say }) {
    this.#context = context;
    this.#kinds = kinds;
    this.#samples = samples;
    this.#say = say;
  }

  async run(suite, runs) {
    const stages = suite.stages(this.#context.quick);
    const kinds = suite.cluster(stages[0], this.#kinds[0]) === null ? this.#kinds.slice(0, 1) : this.#kinds;
    const count = suite.runs?.(runs, this.#context.quick) ?? runs;
    let clusters = suite.lifetime === 'suite' ? await this.#startAll(suite, stages[0], kinds) : [];
    for (const stage of stages) {
      if (suite.lifetime === 'stage') clusters = await this.#startAll(suite, stage, kinds);
      if (suite.enter !== undefined) for (const system of clusters) await suite.enter(system, stage, this.#context);
      for (let run = 1; run <= count; run += 1) {
        for (const [i, Kind] of kinds.entries())
          await this.#measure(suite, stage, Kind, clusters[i], `${run}/${count}`);
      }
      if (suite.lifetime === 'stage') await this.#stopAll(suite, clusters);
    }
    if (suite.lifetime === 'suite') await this.#stopAll(suite, clusters);
  }

  async #measure(suite, stage, Kind, kept, run) {
    const system = suite.lifetime === 'run' ? await this.#start(suite, stage, Kind) : kept;
    const startMs = performance.now();
    const figures = await suite.measure(system, stage, this.#context);
    if (suite.lifetime === 'run') await this.#stopAll(suite, [system]);
    for (const [figure, value] of Object.entries(figures)) this.#samples.add(Kind.systemName, figure, value);
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
    const shown = Object.entries(figures).map(([figure, value]) => `${figure} ${Number(value.toPrecision(4))}`);
    this.#say(`${suite.name} ${stage.id} ${run} ${Kind.systemName} (${seconds} s): ${shown.join(', ')}`);
  }

  /** null where the suite needs none. */
  async #start(suite, stage, Kind) {
    const cluster = suite.cluster(stage, Kind);
    if (cluster === null) return null;
    const { workspace } = this.#context;
    const place = cluster.machines === true ? this.#machine(Kind, cluster) : await Loopback.make(cluster.members);
    const system = new Kind({ workspace, place, ...cluster });
    system.startAll();
    await system.prepare();
    await suite.prepare?.(system, this.#context);
    return system;
  }

  #machine(Kind, { members }) {
    this.#machines ??= Machines.make(this.#context.workspace, members, this.#kinds.length);
    return this.#machines[this.#kinds.indexOf(Kind)];
  }

  async #startAll(suite, stage, kinds) {
    const clusters = [];
    for (const Kind of kinds) clusters.push(await this.#start(suite, stage, Kind));
    return clusters;
  }

  async #stopAll(suite, clusters) {
    for (const system of clusters) {
      if (system === null) continue;
      await suite.finish?.(system);
      await system.stop();
    }
  }
}
