/**
 * Asks members for something, over a way that may lose it. With a session it repeats a request until it knows the outcome;
 * without one it gives up when it cannot know.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { CommandBody, CommandResult, SessionRef } from '../../../src/machine/types.ts';
import type { MutationOutcome, MutationRequest, ReadConsistency } from '../../../src/node/types.ts';
import { DATA_STREAM, type SessionId } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import type { Board } from './board.ts';
import { type Answer, type Operation, type Operations, traceIdOf } from './operations.ts';
import type { SimMember } from './sim-member.ts';

export interface CallerDeps {
  readonly name: string;
  readonly world: World;
  readonly prng: Prng;
  readonly options: SimOptions['clients'];
  /** Between client and member, one way, microseconds. */
  readonly delayMaxUs: number;
  /** Those that clients know of; may grow. */
  readonly members: readonly SimMember[];
  readonly operations: Operations;
  readonly board: Board;
  readonly answered: (member: SimMember, operation: Operation | null, answer: Answer) => void;
  readonly settled: (operation: Operation) => void;
}

/** Refusals that the next try would get, too. */
const FINAL: ReadonlySet<string> = new Set(['TOO_LARGE', 'FEATURE_LEVEL_TOO_LOW']);

/** Tries of one request after the end was announced; more means that the cluster does not answer. */
const LAST_TRIES_MAX = 200;

export class Caller {
  session: SessionId | null = null;
  readonly #deps: CallerDeps;
  #sequence = 0;
  /** Where the last answer came from. */
  #favourite: SimMember | null = null;

  constructor(deps: CallerDeps) {
    this.#deps = deps;
  }

  async openSession(operation: Operation): Promise<void> {
    const { options } = this.#deps;
    const body: CommandBody = { kind: 'openSession', ttlMs: options.sessionTtlMs };
    const result = await this.request(operation, body);
    if (result?.ok !== true || result.value.kind !== 'sessionOpened') return;
    this.session = result.value.sessionId;
    this.#sequence = 0;
  }

  /** What `take` makes of the state, on the way back already; null: no answer. */
  async read<T>(consistency: ReadConsistency, take: (view: MachineView) => T): Promise<T | null> {
    const { world, prng, board, options } = this.#deps;
    const member = prng.pick(this.#deps.members);
    const askedUs = world.nowUs;
    const answer = await new Promise<{ readonly value: T; readonly index: number } | null>((resolve) => {
      world.after(options.timeoutUs, null, () => resolve(null));
      this.#reach(member, (running) => {
        void running.read(DATA_STREAM, this.#timeoutMs(), consistency).then((outcome) => {
          if (outcome.kind !== 'ready') {
            this.#return(() => resolve(null));
            return;
          }
          const { appliedIndex } = outcome.view;
          const value = take(outcome.view);
          const floor = floorOf(board, member, consistency, askedUs);
          this.#deps.answered(member, null, { kind: 'read', consistency: consistency.kind, appliedIndex, ...floor });
          this.#return(() => resolve({ value, index: appliedIndex }));
        });
      });
    });
    if (answer === null) return null;
    if (consistency.kind !== 'bounded') board.learnIndex(answer.index, world.nowUs);
    return answer.value;
  }

  /** Tries until the outcome is known, or cannot be known. null: unknown, or nothing was done. */
  async request(operation: Operation, body: CommandBody): Promise<CommandResult | null> {
    const { world, prng, board, options } = this.#deps;
    const request = { session: this.#nextSessionRef(), caller: this.#deps.name, traceId: traceIdOf(operation), body };
    let maybeDone = false;
    for (let tries = 1, lastTries = 0; lastTries < LAST_TRIES_MAX; tries += 1) {
      if (board.ending) lastTries += 1;
      const outcome = await this.call(this.#target(), operation, request);
      if (outcome?.kind === 'applied') return this.settleApplied(operation, outcome, maybeDone);
      if (outcome === null || outcome.kind === 'indeterminate') {
        maybeDone = true;
        if (request.session === null) break;
      } else if (FINAL.has(outcome.reason) || (request.session === null && tries >= 5)) break;
      await world.sleep(prng.below(options.timeoutUs / 4) + 100);
    }
    this.settle(operation, { kind: maybeDone ? 'unknown' : 'refused' });
    return null;
  }

  #nextSessionRef(): SessionRef | null {
    if (this.session === null) return null;
    this.#sequence += 1;
    return { id: this.session, sequence: this.#sequence, ackedThrough: this.#sequence - 1 };
  }

  settleApplied(
    operation: Operation,
    outcome: Extract<MutationOutcome, { kind: 'applied' }>,
    maybeDone: boolean,
  ): CommandResult {
    const { result } = outcome;
    this.#deps.board.learnIndex(outcome.index, this.#deps.world.nowUs);
    if (result.ok) {
      this.settle(operation, { kind: 'done', revision: result.revision });
      return result;
    }
    const { reason } = result.rejection;
    const forgotten = reason === 'SESSION_EXPIRED' || reason === 'SESSION_SEQUENCE_FORGOTTEN';
    if (forgotten) this.session = null;
    this.settle(operation, forgotten && maybeDone ? { kind: 'unknown' } : { kind: 'rejected', reason });
    return result;
  }

  settle(operation: Operation, state: Operation['state']): void {
    operation.state = state;
    this.#deps.world.note(this.#deps.name, 'settled', operation.id, 0, 0, { ...operation, client: undefined });
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
  async call(member: SimMember, operation: Operation, request: MutationRequest): Promise<MutationOutcome | null> {
    const { world, options } = this.#deps;
    world.note(this.#deps.name, 'calls', operation.id, member.position, request.session?.sequence ?? 0, {
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
    world.note(this.#deps.name, 'hears', operation.id, member.position, index, { from: member.id, outcome });
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

/** Bounded staleness counts from the call by the member's own clock. */
function floorOf(
  board: Board,
  member: SimMember,
  consistency: ReadConsistency,
  askedUs: number,
): { readonly floorIndex: number; readonly floorWhat: string } {
  if (consistency.kind !== 'bounded') return { floorIndex: board.knownAt(askedUs), floorWhat: 'it was asked for' };
  const sinceUs = askedUs - member.trueUs(consistency.maxStalenessMs);
  return { floorIndex: board.knownAt(sinceUs), floorWhat: `${consistency.maxStalenessMs} ms before it was asked for` };
}
