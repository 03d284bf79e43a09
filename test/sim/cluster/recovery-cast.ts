/** All who play in the recovery workload of a run: the outside world, agents, a supervisor, and the oracles that watch them. */

import type { Prng } from '../kernel/prng.ts';
import { describe, type World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { BarrierOrder } from '../oracles/barrier-order.ts';
import { DocumentRollback } from '../oracles/document-rollback.ts';
import { EffectsOnce } from '../oracles/effects-once.ts';
import { History } from '../oracles/history.ts';
import type { Oracle, Scene } from '../oracles/oracle.ts';
import { RecoveryArcs } from '../oracles/recovery-arcs.ts';
import { RecoveryTokens } from '../oracles/recovery-tokens.ts';
import type { SimClock } from '../ports/clock.ts';
import { OutsideWorld } from '../ports/outside.ts';
import { Agent, makeStage } from './agent.ts';
import type { CallerDeps } from './caller.ts';
import { makeWorks, NO_WORKS, type Works } from './leader-works.ts';
import type { Process, SimMember } from './sim-member.ts';
import { Supervisor } from './supervisor.ts';

/** Streams of random numbers. */
const OUTSIDE = 9;
const AGENTS = 500;
const SUPERVISOR = 600;

export class RecoveryCast {
  readonly callers: readonly (Agent | Supervisor)[] = [];
  readonly oracles: readonly Oracle[] = [];
  readonly #outside: OutsideWorld | null = null;
  readonly #supervisor: Supervisor | null = null;
  readonly #documents: DocumentRollback | null = null;
  readonly #arcs: RecoveryArcs | null = null;
  readonly #scene: Scene;
  readonly #tickMs: number;

  constructor(deps: {
    readonly scene: Scene;
    readonly world: World;
    readonly options: SimOptions;
    readonly source: (stream: number) => Prng;
    readonly callerDeps: (name: string, prng: Prng) => CallerDeps;
  }) {
    const { scene, world, options, source, callerDeps } = deps;
    this.#scene = scene;
    this.#tickMs = options.settings.tickMs;
    const { recovery } = options;
    if (recovery === undefined) return;
    const effects = new EffectsOnce(scene, () => outside);
    const outside = new OutsideWorld(world, source(OUTSIDE), recovery.outside, effects);
    this.#outside = outside;
    const arcs = new RecoveryArcs(scene, recovery.policy.blockedMs);
    this.#arcs = arcs;
    const documents = new DocumentRollback(scene);
    this.#documents = documents;
    this.oracles = [new History([effects, new BarrierOrder(scene), new RecoveryTokens(scene), arcs, documents])];
    const stage = makeStage(recovery.loops);
    const agents = Array.from({ length: recovery.agents }, (_, at) => {
      const prng = source(AGENTS + at);
      const withSession = prng.chance(options.clients.sessionPermille);
      return new Agent({ ...callerDeps(`a${at + 1}`, prng), recovery, outside, stage, withSession });
    });
    this.#supervisor = new Supervisor({ ...callerDeps('boss', source(SUPERVISOR)), recovery, stage });
    this.callers = [...agents, this.#supervisor];
  }

  get playing(): boolean {
    return this.#outside !== null;
  }

  /** What happened, by name. */
  get counts(): readonly (readonly [string, number])[] {
    const overrides = [...(this.#supervisor?.counts ?? [])].map(
      ([action, count]) => [action === 'pause' ? 'automation paused' : `override ${action}`, count] as const,
    );
    return [
      ...(this.#outside?.counts ?? []),
      ...(this.#arcs?.counts ?? []),
      ...overrides,
      ['documents rolled back', this.#documents?.checked ?? 0],
    ];
  }

  start(): void {
    for (const caller of this.callers) {
      caller.run().catch((error: unknown) => this.#scene.violate('CR', `${caller.name}: ${describe(error)}`));
    }
  }

  heal(): void {
    this.#outside?.heal();
  }

  /** Nothing that was asked for before keeps recoveries from ending. */
  async unpause(): Promise<void> {
    await this.#supervisor?.unpause();
  }

  works(member: SimMember, process: Process, clock: SimClock): Works {
    if (this.#outside === null) return NO_WORKS;
    return makeWorks({
      outside: this.#outside,
      process,
      who: member.id,
      clock,
      tickMs: this.#tickMs,
      onBug: (error) => this.#scene.violate('CR', `${member.id}, recovery driver: ${describe(error)}`),
    });
  }
}
