/**
 * A client of the registers: loops whose first phase is begun once and shared by all who know its attempt. The checkpoint is what is
 * written and read; taking the run over is compare and set of the attempt. All calls go into one history (LZ).
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { CommandBody, CommandResult, PhaseRef } from '../../../src/machine/types.ts';
import { fencingToken } from '../../../src/types/ids.ts';
import type { Call } from '../oracles/lz/checker.ts';
import type { FencedOp } from '../oracles/lz/models.ts';
import { DEFAULT_PHASES } from './board.ts';
import { Caller, type CallerDeps } from './caller.ts';
import { drawConsistency } from './client.ts';
import type { EffectClass, Operation } from './operations.ts';

export interface RegisterClientDeps extends CallerDeps {
  readonly registers: readonly Register[];
  readonly history: Call<FencedOp>[];
  readonly withSession: boolean;
}

/** What the clients know together of one register. */
export interface Register {
  readonly loop: string;
  created: boolean;
  attempt: number;
  /** Of `attempt`; null while nobody here knows it. */
  token: number | null;
}

const PHASE = DEFAULT_PHASES[0] ?? '';

export function makeRegisters(count: number): readonly Register[] {
  return Array.from({ length: count }, (_, at) => ({ loop: `reg-${at + 1}`, created: false, attempt: 0, token: null }));
}

export class RegisterClient {
  readonly name: string;
  idle = false;
  reads = 0;
  readonly #deps: RegisterClientDeps;
  readonly #caller: Caller;
  #written = 0;

  constructor(deps: RegisterClientDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#caller = new Caller(deps);
  }

  /** Ends when the board says so. */
  async run(): Promise<void> {
    const { world, prng, options, board, registers, withSession } = this.#deps;
    while (!board.ending) {
      await world.sleep(prng.below(Math.ceil(options.thinkMaxUs / 2)));
      if (board.ending) break;
      const register = prng.pick(registers);
      if (withSession && this.#caller.session === null) {
        await this.#caller.openSession(this.#open('none', register));
      } else if (!register.created) await this.#create(register);
      else if (register.attempt === 0 || prng.chance(80)) await this.#take(register);
      else if (prng.chance(450)) await this.#read(register);
      else await this.#write(register);
    }
    this.idle = true;
  }

  async #create(register: Register): Promise<void> {
    const body: CommandBody = { kind: 'createLoop', loop: register.loop, plan: '' };
    const result = await this.#caller.request(this.#open('create', register), body);
    if (result?.ok === true || result?.rejection.reason === 'LOOP_EXISTS') register.created = true;
  }

  async #take(register: Register): Promise<void> {
    const from = register.attempt;
    const body: CommandBody = { kind: 'beginPhase', ref: refOf(register), supersedeAttempt: from, vectorClock: [] };
    const operation = this.#open('begin', register);
    const calledAt = this.#deps.world.nowUs;
    const result = await this.#caller.request(operation, body);
    const op = { kind: 'take', register: register.loop, from } as const;
    this.#record(operation, result, calledAt, (ok) => ({ ...op, ok }));
    if (result?.ok === true && result.value.kind === 'phaseBegun') {
      if (result.value.attempt > register.attempt) {
        register.attempt = result.value.attempt;
        register.token = result.value.token;
      }
    } else if (result?.ok === false) this.#learn(register, Number(result.rejection.details.attempt ?? 0));
  }

  async #write(register: Register): Promise<void> {
    const { attempt, token } = register;
    if (token === null) {
      await this.#take(register);
      return;
    }
    this.#written += 1;
    const value = `${this.name}-${this.#written}`;
    const body: CommandBody = {
      kind: 'reportProgress',
      ref: refOf(register),
      token: fencingToken(token),
      completed: 0,
      total: 0,
      note: '',
      subSteps: [],
      checkpoint: value,
    };
    const operation = this.#open('progress', register);
    const calledAt = this.#deps.world.nowUs;
    const result = await this.#caller.request(operation, body);
    const op = { kind: 'write', register: register.loop, attempt, value } as const;
    this.#record(operation, result, calledAt, (ok) => ({ ...op, ok }));
  }

  async #read(register: Register): Promise<void> {
    const consistency = drawConsistency(this.#deps.prng, this.#deps.options);
    const calledAt = this.#deps.world.nowUs;
    const found = await this.#caller.read(consistency, (view) => contentOf(view, register));
    if (found === null) return;
    this.reads += 1;
    if (consistency.kind === 'bounded') return;
    const op: FencedOp = { kind: 'read', register: register.loop, attempt: found.attempt, value: found.value };
    this.#deps.history.push({ op, calledAt, returnedAt: this.#deps.world.nowUs });
    this.#learn(register, found.attempt, found.token);
  }

  /** What was refused was never carried out; a rejection says something only if it is about the register. */
  #record(
    operation: Operation,
    result: CommandResult | null,
    calledAt: number,
    opOf: (ok: boolean | null) => FencedOp,
  ): void {
    const { state } = operation;
    if (state.kind === 'refused') return;
    if (state.kind === 'unknown' || result === null) {
      this.#deps.history.push({ op: opOf(null), calledAt, returnedAt: null });
      return;
    }
    if (!result.ok && !SAYS_STATE.has(result.rejection.reason)) return;
    this.#deps.history.push({ op: opOf(result.ok), calledAt, returnedAt: this.#deps.world.nowUs });
  }

  #learn(register: Register, attempt: number, token: number | null = null): void {
    if (attempt <= register.attempt) return;
    register.attempt = attempt;
    register.token = token;
  }

  #open(effect: EffectClass, register: Register): Operation {
    return this.#deps.operations.open({
      client: this.name,
      effect,
      loop: register.loop,
      g: 1,
      phase: effect === 'create' || effect === 'none' ? '' : PHASE,
      subSteps: [],
      withSession: this.#caller.session !== null,
    });
  }
}

/** Rejections that say which attempt holds the run, and that nothing else is wrong. */
const SAYS_STATE = new Set(['STALE_FENCE', 'ATTEMPT_MISMATCH', 'PHASE_RUNNING']);

function refOf(register: Register): PhaseRef {
  return { loop: register.loop, g: 1, phase: PHASE };
}

function contentOf(
  view: MachineView,
  register: Register,
): { readonly attempt: number; readonly value: string; readonly token: number } {
  const run = view.run(register.loop, 1, PHASE);
  return { attempt: run?.attempt ?? 0, value: run?.checkpoint ?? '', token: run?.token ?? 0 };
}
