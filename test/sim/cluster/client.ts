/**
 * A client: works on loops one request at a time, through any member. With a session it repeats a request until it
 * knows the outcome; without one it gives up when it cannot know.
 */
import type { CommandBody, CommandResult, SessionRef } from '../../../src/machine/types.ts';
import type { MutationOutcome, MutationRequest } from '../../../src/node/types.ts';
import { DATA_STREAM, fencingToken, type SessionId } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import {
  type Board,
  DEFAULT_PHASES,
  type Job,
  learnRejection,
  moveTo,
  phaseOf,
  SHORT_PHASES,
  SHORT_PLAN,
} from './board.ts';
import { type Answer, type EffectClass, type Operation, type Operations, traceIdOf } from './operations.ts';
import type { SimMember } from './sim-member.ts';

export interface ClientDeps {
  readonly name: string;
  readonly world: World;
  readonly prng: Prng;
  readonly options: SimOptions['clients'];
  /** Between client and member, one way, microseconds. */
  readonly delayMaxUs: number;
  readonly members: readonly SimMember[];
  readonly operations: Operations;
  readonly board: Board;
  readonly withSession: boolean;
  readonly onlyReads: boolean;
  readonly answered: (member: SimMember, operation: Operation | null, answer: Answer) => void;
  readonly settled: (operation: Operation) => void;
}

/** Tries of one request after the end was announced; more means that the cluster does not answer. */
const LAST_TRIES_MAX = 200;

export class Client {
  readonly name: string;
  idle = false;
  reads = 0;
  readonly #deps: ClientDeps;
  #session: SessionId | null = null;
  #sequence = 0;
  #loops = 0;
  /** Where the last answer came from. */
  #favourite: SimMember | null = null;

  constructor(deps: ClientDeps) {
    this.name = deps.name;
    this.#deps = deps;
  }

  /** Ends when the board says so. */
  async run(): Promise<void> {
    const { world, prng, options, board } = this.#deps;
    while (!board.ending) {
      await world.sleep(prng.below(this.#deps.onlyReads ? this.#deps.delayMaxUs * 2 : options.thinkMaxUs));
      if (board.ending) break;
      if (this.#deps.onlyReads) await this.#read();
      else if (this.#deps.withSession && this.#session === null) await this.#openSession();
      else if (prng.chance(options.readPermille)) await this.#read();
      else await this.#step();
    }
    this.idle = true;
  }

  /** A mutation through one given member, once; true when it was carried out. For the check that the cluster works. */
  async probe(member: SimMember): Promise<boolean> {
    const body: CommandBody = { kind: 'createLoop', loop: `${this.name}-probe-${++this.#loops}`, plan: '' };
    const operation = this.#open('create', body.loop, null, []);
    const request = { session: null, caller: this.name, traceId: traceIdOf(operation), body };
    const outcome = await this.#call(member, operation, request);
    const done = outcome?.kind === 'applied' && outcome.result.ok;
    if (outcome?.kind === 'applied') this.#settleApplied(operation, outcome, false);
    else this.#settle(operation, { kind: outcome?.kind === 'refused' ? 'refused' : 'unknown' });
    return done;
  }

  // ------------------------------------------------------------------------------------------ what it does

  async #openSession(): Promise<void> {
    const { options } = this.#deps;
    const body: CommandBody = { kind: 'openSession', ttlMs: options.sessionTtlMs };
    const result = await this.#request(this.#open('none', '', null, []), body);
    if (result?.ok !== true || result.value.kind !== 'sessionOpened') return;
    this.#session = result.value.sessionId;
    this.#sequence = 0;
  }

  async #step(): Promise<void> {
    const { prng, board } = this.#deps;
    if (this.#session !== null && prng.chance(20)) {
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
    const { world, prng, board, options } = this.#deps;
    const member = prng.pick(this.#deps.members);
    const floorIndex = board.knownIndex;
    const appliedIndex = await new Promise<number | null>((resolve) => {
      world.after(options.timeoutUs, null, () => resolve(null));
      this.#reach(member, (running) => {
        void running.read(DATA_STREAM, this.#timeoutMs()).then((outcome) => {
          if (outcome.kind !== 'ready') {
            this.#return(() => resolve(null));
            return;
          }
          const { appliedIndex } = outcome.view;
          this.#deps.answered(member, null, { kind: 'read', appliedIndex, floorIndex });
          this.#return(() => resolve(appliedIndex));
        });
      });
    });
    if (appliedIndex === null) return;
    this.reads += 1;
    board.learnIndex(appliedIndex);
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
      withSession: this.#session !== null,
    });
  }

  /** Tries until the outcome is known, or cannot be known. null: unknown, or nothing was done. */
  async #request(operation: Operation, body: CommandBody): Promise<CommandResult | null> {
    const { world, prng, board, options } = this.#deps;
    const request = { session: this.#nextSessionRef(), caller: this.name, traceId: traceIdOf(operation), body };
    let maybeDone = false;
    for (let tries = 1, lastTries = 0; lastTries < LAST_TRIES_MAX; tries += 1) {
      if (board.ending) lastTries += 1;
      const outcome = await this.#call(this.#target(), operation, request);
      if (outcome?.kind === 'applied') return this.#settleApplied(operation, outcome, maybeDone);
      if (outcome === null || outcome.kind === 'indeterminate') {
        maybeDone = true;
        if (request.session === null) break;
      } else if (outcome.reason === 'TOO_LARGE' || (request.session === null && tries >= 5)) break;
      await world.sleep(prng.below(options.timeoutUs / 4) + 100);
    }
    this.#settle(operation, { kind: maybeDone ? 'unknown' : 'refused' });
    return null;
  }

  #nextSessionRef(): SessionRef | null {
    if (this.#session === null) return null;
    this.#sequence += 1;
    return { id: this.#session, sequence: this.#sequence, ackedThrough: this.#sequence - 1 };
  }

  #settleApplied(
    operation: Operation,
    outcome: Extract<MutationOutcome, { kind: 'applied' }>,
    maybeDone: boolean,
  ): CommandResult {
    const { result } = outcome;
    this.#deps.board.learnIndex(outcome.index);
    if (result.ok) {
      this.#settle(operation, { kind: 'done', revision: result.revision });
      return result;
    }
    const { reason } = result.rejection;
    const forgotten = reason === 'SESSION_EXPIRED' || reason === 'SESSION_SEQUENCE_FORGOTTEN';
    if (forgotten) this.#session = null;
    this.#settle(operation, forgotten && maybeDone ? { kind: 'unknown' } : { kind: 'rejected', reason });
    return result;
  }

  #settle(operation: Operation, state: Operation['state']): void {
    operation.state = state;
    this.#deps.world.note(this.name, 'settled', operation.id, 0, 0, { ...operation, client: undefined });
    this.#deps.settled(operation);
  }

  #target(): SimMember {
    const { prng, members } = this.#deps;
    return this.#favourite !== null && prng.chance(700) ? this.#favourite : prng.pick(members);
  }

  #timeoutMs(): number {
    return Math.max(1, Math.floor(this.#deps.options.timeoutUs / 1000));
  }

  /** One try. null: no answer came. */
  async #call(member: SimMember, operation: Operation, request: MutationRequest): Promise<MutationOutcome | null> {
    const { world, options } = this.#deps;
    world.note(this.name, 'calls', operation.id, member.position, request.session?.sequence ?? 0, {
      to: member.id,
      request,
    });
    const outcome = await new Promise<MutationOutcome | null>((resolve) => {
      const timer = world.after(options.timeoutUs, null, () => resolve(null));
      this.#reach(member, (running) => {
        void running.mutate(DATA_STREAM, request, this.#timeoutMs()).then((answer) => {
          this.#deps.answered(member, operation, { kind: 'mutation', outcome: answer });
          this.#return(() => {
            timer.cancelled = true;
            resolve(answer);
          });
        });
      });
    });
    const index = outcome?.kind === 'applied' ? outcome.index : 0;
    world.note(this.name, 'hears', operation.id, member.position, index, { from: member.id, outcome });
    this.#favourite = outcome?.kind === 'applied' ? member : null;
    return outcome;
  }

  /** The way there: may be lost; a member that is down or dies meanwhile does not answer. */
  #reach(member: SimMember, arrived: (running: NonNullable<SimMember['running']>) => void): void {
    const { world, prng, options, board } = this.#deps;
    if (!board.ending && prng.chance(options.lostPermille)) return;
    const { process } = member;
    world.after(prng.below(this.#deps.delayMaxUs) + 1, process, () => {
      const { running } = member;
      if (running !== null) arrived(running);
    });
  }

  /** The way back: may be lost. */
  #return(arrived: () => void): void {
    const { world, prng, options, board } = this.#deps;
    if (!board.ending && prng.chance(options.lostPermille)) return;
    world.after(prng.below(this.#deps.delayMaxUs) + 1, null, arrived);
  }
}

function refOf(job: Job): { readonly loop: string; readonly g: number; readonly phase: string } {
  return { loop: job.loop, g: job.g, phase: phaseOf(job) };
}

function same(ref: { readonly g: number; readonly phase: string }, job: Job): boolean {
  return ref.g === job.g && ref.phase === phaseOf(job);
}
