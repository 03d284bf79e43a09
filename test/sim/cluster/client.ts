/**
 * A client: works on loops one request at a time, through any member. With a session it repeats a request until it
 * knows the outcome; without one it gives up when it cannot know.
 */
import type { CommandBody, CommandResult } from '../../../src/machine/types.ts';
import type { ReadConsistency } from '../../../src/node/types.ts';
import { fencingToken } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { SimOptions } from '../options.ts';
import { DEFAULT_PHASES, type Job, learnRejection, moveTo, phaseOf, SHORT_PHASES, SHORT_PLAN } from './board.ts';
import { Caller, type CallerDeps } from './caller.ts';
import { type EffectClass, type Operation, traceIdOf } from './operations.ts';
import type { SimMember } from './sim-member.ts';

export interface ClientDeps extends CallerDeps {
  readonly withSession: boolean;
  readonly onlyReads: boolean;
}

export class Client {
  readonly name: string;
  idle = false;
  reads = 0;
  readonly #deps: ClientDeps;
  readonly #caller: Caller;
  #loops = 0;

  constructor(deps: ClientDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#caller = new Caller(deps);
  }

  /** Ends when the board says so. */
  async run(): Promise<void> {
    const { world, prng, options, board } = this.#deps;
    while (!board.ending) {
      await world.sleep(prng.below(this.#deps.onlyReads ? this.#deps.delayMaxUs * 2 : options.thinkMaxUs));
      if (board.ending) break;
      if (this.#deps.onlyReads) await this.#read();
      else if (this.#deps.withSession && this.#caller.session === null)
        await this.#caller.openSession(this.#open('none', '', null, []));
      else if (prng.chance(options.readPermille)) await this.#read();
      else await this.#step();
    }
    this.idle = true;
  }

  /** A plan of so many phases, through anybody; true when it was carried out. */
  async put(phases: number): Promise<boolean> {
    const plan = `${this.name}-plan-${++this.#loops}`;
    const body: CommandBody = {
      kind: 'registerPlan',
      plan,
      phases: Array.from({ length: phases }, (_, at) => ({
        name: `PHASE_${at}_${'X'.repeat(40)}`,
        priorMs: 1,
        slaMs: 0,
      })),
    };
    const result = await this.#request(this.#open('none', '', null, []), body);
    return result?.ok === true;
  }

  /** A mutation through one given member, once; true when it was carried out. For the check that the cluster works. */
  async probe(member: SimMember): Promise<boolean> {
    const body: CommandBody = { kind: 'createLoop', loop: `${this.name}-probe-${++this.#loops}`, plan: '' };
    const operation = this.#open('create', body.loop, null, []);
    const request = { session: null, caller: this.name, traceId: traceIdOf(operation), body };
    const outcome = await this.#caller.call(member, operation, request);
    const done = outcome?.kind === 'applied' && outcome.result.ok;
    if (outcome?.kind === 'applied') this.#caller.settleApplied(operation, outcome, false);
    else this.#caller.settle(operation, { kind: outcome?.kind === 'refused' ? 'refused' : 'unknown' });
    return done;
  }

  // ------------------------------------------------------------------------------------------ what it does

  async #step(): Promise<void> {
    const { prng, board } = this.#deps;
    if (this.#caller.session !== null && prng.chance(20)) {
      await this.#request(this.#open('none', '', null, []), { kind: 'keepAliveSession' });
      return;
    }
    const own = board.jobs.filter((candidate) => candidate.loop.startsWith(`${this.name}-`));
    const meddles = board.jobs.length > 0 && prng.chance(150);
    if (!meddles && (own.length === 0 || prng.chance(60))) {
      await this.#create();
      return;
    }
    const job = meddles ? prng.pick(board.jobs) : prng.pick(own.slice(-3));
    if (job.token === null) await this.#begin(job);
    else if (prng.chance(550)) await this.#progress(job, job.token);
    else if (prng.chance(800)) await this.#commit(job, job.token);
    else await this.#abort(job, job.token);
  }

  async #create(): Promise<void> {
    const { prng, board } = this.#deps;
    const loop = `${this.name}-${++this.#loops}`;
    const short = prng.chance(600);
    if (short && this.#loops <= 2) {
      const phases = SHORT_PHASES.map((name) => ({ name, priorMs: 1000, slaMs: 0 }));
      await this.#request(this.#open('none', '', null, []), { kind: 'registerPlan', plan: SHORT_PLAN, phases });
    }
    const plan = short ? SHORT_PLAN : '';
    const result = await this.#request(this.#open('create', loop, null, []), { kind: 'createLoop', loop, plan });
    if (result?.ok !== true || result.value.kind !== 'loopCreated') return;
    const phases = short ? SHORT_PHASES : DEFAULT_PHASES;
    board.jobs.push({ loop, phases, g: result.value.g, position: 0, attempt: 0, token: null });
  }

  async #begin(job: Job): Promise<void> {
    const ref = refOf(job);
    const body: CommandBody = { kind: 'beginPhase', ref, supersedeAttempt: job.attempt, vectorClock: [] };
    const result = await this.#requestOn(job, this.#open('begin', job.loop, job, []), body);
    if (result?.ok !== true || result.value.kind !== 'phaseBegun' || !same(ref, job)) return;
    job.attempt = result.value.attempt;
    job.token = result.value.token;
  }

  async #progress(job: Job, token: number): Promise<void> {
    const { prng, options, operations } = this.#deps;
    const ids = Array.from({ length: prng.between(0, 3) }, (_, at) => `s${operations.all.length + 1}-${at}`);
    const body: CommandBody = {
      kind: 'reportProgress',
      ref: refOf(job),
      token: fencingToken(token),
      completed: 1,
      total: 2,
      note: '',
      subSteps: ids.map((id) => ({ id, result: 'x'.repeat(prng.below(options.payloadMax)) })),
      checkpoint: prng.chance(300) ? 'c'.repeat(prng.below(options.payloadMax)) : null,
    };
    await this.#requestOn(job, this.#open('progress', job.loop, job, ids), body);
  }

  async #commit(job: Job, token: number): Promise<void> {
    const ref = refOf(job);
    const fence = fencingToken(token);
    const body: CommandBody = { kind: 'commitPhase', ref, token: fence, result: 'done', vectorClock: [] };
    const result = await this.#requestOn(job, this.#open('commit', job.loop, job, []), body);
    if (result?.ok === true && result.value.kind === 'phaseCommitted' && same(ref, job))
      moveTo(job, result.value.nextG);
  }

  async #abort(job: Job, token: number): Promise<void> {
    const ref = refOf(job);
    const hardFail = this.#deps.prng.chance(300);
    const fence = fencingToken(token);
    const body: CommandBody = { kind: 'abortPhase', ref, token: fence, reason: 'test', hardFail, vectorClock: [] };
    const result = await this.#requestOn(job, this.#open('abort', job.loop, job, []), body);
    if (result?.ok !== true || result.value.kind !== 'phaseAborted' || !same(ref, job)) return;
    if (hardFail) moveTo(job, result.value.nextG);
    job.attempt = 0;
    job.token = null;
  }

  /** Learns from a rejection, and gives the job up when its token leads nowhere. */
  async #requestOn(job: Job, operation: Operation, body: CommandBody): Promise<CommandResult | null> {
    const result = await this.#request(operation, body);
    if (result?.ok === false && !learnRejection(job, result.rejection)) {
      const at = this.#deps.board.jobs.indexOf(job);
      if (at >= 0) this.#deps.board.jobs.splice(at, 1);
    }
    return result;
  }

  async #read(): Promise<void> {
    const answered = await this.#caller.read(drawConsistency(this.#deps.prng, this.#deps.options), () => true);
    if (answered === true) this.reads += 1;
  }

  // ------------------------------------------------------------------------------------------ requests

  #open(effect: EffectClass, loop: string, job: Job | null, subSteps: readonly string[]): Operation {
    return this.#deps.operations.open({
      client: this.name,
      effect,
      loop,
      g: job?.g ?? 0,
      phase: job === null ? '' : phaseOf(job),
      subSteps,
      withSession: this.#caller.session !== null,
    });
  }

  #request(operation: Operation, body: CommandBody): Promise<CommandResult | null> {
    return this.#caller.request(operation, body);
  }
}

/** Mostly linearizable ones. */
export function drawConsistency(prng: Prng, options: SimOptions['clients']): ReadConsistency {
  if (prng.chance(options.leasePermille)) return { kind: 'lease' };
  if (prng.chance(options.boundedPermille)) return { kind: 'bounded', maxStalenessMs: prng.below(options.staleMaxMs) };
  return { kind: 'linearizable' };
}

function refOf(job: Job): { readonly loop: string; readonly g: number; readonly phase: string } {
  return { loop: job.loop, g: job.g, phase: phaseOf(job) };
}

function same(ref: { readonly g: number; readonly phase: string }, job: Job): boolean {
  return ref.g === job.g && ref.phase === phaseOf(job);
}
