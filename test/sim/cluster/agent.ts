/**
 * An agent: begins phases of the shared loops, reports sub-steps, writes documents in the phase and outside of it, does things to the
 * outside world under the ledger, and commits. At any moment it may vanish: for good, or to come back late with an old token.
 */
import { sha256Hex } from '../../../src/machine/document/snapshot.ts';
import type { CommandBody, CommandResult, PhaseRef } from '../../../src/machine/types.ts';
import type { FencingToken } from '../../../src/types/ids.ts';
import type { OutsideWorld } from '../ports/outside.ts';
import type { RecoveryOptions } from '../recovery-options.ts';
import { type Job, learnRejection, moveTo, phaseOf } from './board.ts';
import { Caller, type CallerDeps } from './caller.ts';
import type { EffectClass } from './operations.ts';

/** What agents and supervisors know together. */
export interface Stage {
  /** Plan, policy, roster and loops are there. */
  ready: boolean;
  readonly jobs: readonly Job[];
  /** Newest version of a document that somebody was told of, by loop and name. */
  readonly versions: Map<string, number>;
}

export const WORK_PLAN = 'work';
export const WORK_PHASES = ['BUILD', 'SHIP'];

export function makeStage(loops: number): Stage {
  const jobs = Array.from({ length: loops }, (_, at) => ({
    loop: `work-${at + 1}`,
    phases: WORK_PHASES,
    g: 1,
    position: 0,
    attempt: 0,
    token: null,
  }));
  return { ready: false, jobs, versions: new Map() };
}

export interface AgentDeps extends CallerDeps {
  readonly recovery: RecoveryOptions;
  readonly outside: OutsideWorld;
  readonly stage: Stage;
  readonly withSession: boolean;
}

interface Held {
  readonly job: Job;
  readonly ref: PhaseRef;
  readonly token: FencingToken;
}

const DOCUMENTS = ['plan', 'notes'];
const TARGETS = ['alpha', 'beta'];

export class Agent {
  readonly name: string;
  idle = false;
  readonly #deps: AgentDeps;
  readonly #caller: Caller;
  #made = 0;
  #gone = false;

  constructor(deps: AgentDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#caller = new Caller(deps);
  }

  /** Ends when the board says so, or when it is gone for good. */
  async run(): Promise<void> {
    const { world, prng, board, stage, recovery, withSession } = this.#deps;
    while (!board.ending && !this.#gone) {
      await world.sleep(prng.below(recovery.thinkMaxUs) + 1);
      if (board.ending || !stage.ready) continue;
      const job = prng.pick(stage.jobs);
      if (withSession && this.#caller.session === null) {
        await this.#caller.openSession(this.#open('none', { loop: '', g: 0, phase: '' }));
      } else if (prng.chance(150)) await this.#write(job.loop, null);
      else await this.#work(job);
    }
    this.idle = true;
  }

  async #work(job: Job): Promise<void> {
    const { prng } = this.#deps;
    const held = await this.#begin(job);
    if (held === null) return;
    for (let left = prng.between(0, 4); left > 0; left -= 1) {
      if (await this.#vanishes()) return;
      const dice = prng.below(100);
      if (dice < 50) await this.#act(held);
      else if (dice < 80) await this.#write(job.loop, held);
      else await this.#report(held, 1);
    }
    if (prng.chance(800)) await this.#report(held, 2);
    // Here a vanishing agent leaves work that is done and not committed.
    if (await this.#vanishes()) return;
    if (prng.chance(850)) await this.#commit(held);
    else await this.#abort(held);
  }

  /** True: it does not come back, or has nothing to come back for. */
  async #vanishes(): Promise<boolean> {
    const { prng, recovery, world, board } = this.#deps;
    if (board.ending) return true;
    if (!prng.chance(recovery.vanishPermille)) {
      await world.sleep(prng.below(recovery.thinkMaxUs) + 1);
      return false;
    }
    this.#gone = prng.chance(recovery.stopPermille);
    if (this.#gone) return true;
    await world.sleep(prng.below(recovery.lateMaxUs) + 1);
    return prng.chance(300);
  }

  async #begin(job: Job): Promise<Held | null> {
    const { prng } = this.#deps;
    // Mostly it leaves the work of others alone.
    if (job.attempt > 0 && !prng.chance(50)) {
      if (prng.chance(200)) job.attempt = 0;
      return null;
    }
    const ref = { loop: job.loop, g: job.g, phase: phaseOf(job) };
    const body: CommandBody = { kind: 'beginPhase', ref, supersedeAttempt: job.attempt, vectorClock: [] };
    const result = await this.#ask(job, 'begin', ref, body);
    if (result?.ok !== true || result.value.kind !== 'phaseBegun') return null;
    const { attempt, token } = result.value;
    if (ref.g === job.g && ref.phase === phaseOf(job)) job.attempt = attempt;
    return { job, ref, token };
  }

  /** Intent, the thing itself, and what came of it. */
  async #act({ job, ref, token }: Held): Promise<void> {
    const { prng, outside } = this.#deps;
    const key = `${this.name}-${++this.#made}`;
    const target = prng.pick(TARGETS);
    const kind = prng.chance(700) ? 'http' : 'grpc';
    const compensator = {
      kind,
      target: kind === 'http' ? `http://${target}/undo` : `${target}:1`,
      payload: key,
    } as const;
    const recorded = await this.#ask(job, 'none', ref, {
      kind: 'recordIntent',
      ref,
      token,
      key,
      description: '',
      compensator,
      costMicros: '1',
      limitMicros: '1000000',
      resource: '',
      operation: '',
    });
    if (recorded?.ok !== true || recorded.value.kind !== 'intentRecorded' || !recorded.value.fresh) return;
    if (await this.#vanishes()) return;
    const done = await outside.perform(job.loop, key);
    if (done && prng.chance(100)) return;
    const body: CommandBody = done
      ? { kind: 'confirmEffect', ref, token, key, result: 'done' }
      : { kind: 'withdrawEffect', ref, token, key, reason: 'it was undone before' };
    await this.#ask(job, 'none', ref, body);
  }

  /** `held` null: outside of any phase. */
  async #write(loop: string, held: Held | null): Promise<void> {
    const { prng, stage } = this.#deps;
    const name = prng.pick(DOCUMENTS);
    const known = stage.versions.get(`${loop} ${name}`) ?? 0;
    const where = { loop, name, expectedVersion: known, ref: held?.ref ?? null, token: held?.token ?? 0 } as const;
    const content = `${this.name}-${++this.#made}`;
    const body: CommandBody =
      known > 0 && prng.chance(100)
        ? { kind: 'deleteDocument', ...where, vectorClock: [] }
        : {
            kind: 'putDocument',
            ...where,
            content,
            sha256: sha256Hex(content),
            schema: null,
            causalFields: null,
            causalChanged: [],
            vectorClock: [],
          };
    const result = await this.#ask(held?.job ?? null, 'none', held?.ref ?? { loop, g: 0, phase: '' }, body);
    if (result?.ok === true && (result.value.kind === 'documentPut' || result.value.kind === 'documentDeleted')) {
      stage.versions.set(`${loop} ${name}`, result.value.version);
    } else if (result?.ok === false && result.rejection.reason === 'VERSION_MISMATCH') {
      stage.versions.set(`${loop} ${name}`, Number(result.rejection.details.version));
    }
  }

  async #report({ job, ref, token }: Held, count: number): Promise<void> {
    const ids = Array.from({ length: count }, (_, at) => `${this.name}-s${++this.#made}-${at}`);
    const body: CommandBody = {
      kind: 'reportProgress',
      ref,
      token,
      completed: 1,
      total: 2,
      note: '',
      subSteps: ids.map((id) => ({ id, result: 'done' })),
      checkpoint: null,
    };
    await this.#ask(job, 'progress', ref, body, ids);
  }

  async #commit({ job, ref, token }: Held): Promise<void> {
    const body: CommandBody = { kind: 'commitPhase', ref, token, result: 'done', vectorClock: [] };
    const result = await this.#ask(job, 'commit', ref, body);
    if (result?.ok === false && result.rejection.reason === 'EFFECTS_OPEN') await this.#abort({ job, ref, token });
    if (result?.ok !== true || result.value.kind !== 'phaseCommitted') return;
    if (ref.g === job.g && ref.phase === phaseOf(job)) moveTo(job, result.value.nextG);
  }

  async #abort({ job, ref, token }: Held): Promise<void> {
    const hardFail = this.#deps.prng.chance(300);
    const body: CommandBody = { kind: 'abortPhase', ref, token, reason: 'test', hardFail, vectorClock: [] };
    const result = await this.#ask(job, 'abort', ref, body);
    if (result?.ok !== true || ref.g !== job.g || ref.phase !== phaseOf(job)) return;
    if (result.value.kind === 'phaseAborted' && hardFail) moveTo(job, result.value.nextG);
    else job.attempt = 0;
  }

  async #ask(
    job: Job | null,
    effect: EffectClass,
    ref: PhaseRef,
    body: CommandBody,
    subSteps: readonly string[] = [],
  ): Promise<CommandResult | null> {
    const result = await this.#caller.request(this.#open(effect, ref, subSteps), body);
    if (result?.ok === false && job !== null && !learnRejection(job, result.rejection)) job.attempt = 0;
    return result;
  }

  #open(effect: EffectClass, { loop, g, phase }: PhaseRef, subSteps: readonly string[] = []) {
    const withSession = this.#caller.session !== null;
    return this.#deps.operations.open({ client: this.name, effect, loop, g, phase, subSteps, withSession });
  }
}
