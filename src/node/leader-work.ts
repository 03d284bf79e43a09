/**
 * Work that whoever leads a stream does for the cluster: detection, recoveries, calls to compensators, alerts, availability.
 * It sees the state, acts on the world, and says in the log what came of it. Nothing that it knows by itself survives it: what must
 * is in the state, and the next leader goes on from there.
 *
 * LW1  `lead` comes once per term that is led, after every entry of earlier terms was applied (the no-op of this term is).
 * LW2  After `depose` nothing of it proposes: the port refuses, and what is answered then is answered with null. A call to the
 *      outside world that is under way may still arrive there: that is what the fencing tokens are for.
 */
import type { MachineView } from '../machine/api.ts';
import type { CommandBody, CommandResult, MachineEvent } from '../machine/types.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { RaftStatus } from '../raft/types.ts';
import type { ClusterTimeMs, MemberId, Term } from '../types/ids.ts';
import type { MutationOutcome } from './types.ts';

export interface LeaderPort {
  readonly memberId: MemberId;
  readonly term: Term;
  /** False once the member does not lead in this term any more. */
  readonly leading: boolean;
  /** The state as this member has applied it, live. */
  readonly view: MachineView;
  readonly clock: Clock;
  readonly random: Random;
  raftStatus(): RaftStatus;
  /** The time that the next command would be stamped with. */
  nowMs(): ClusterTimeMs;
  /**
   * Carries a command out. null: it is not known what became of it, or it was not taken; look at the state, and try again if
   * it still wants it.
   */
  propose(body: CommandBody, traceId?: string): Promise<CommandResult | null>;
}

/** One kind of work on one stream. Its methods must not throw; a promise that it starts must not reject unhandled. */
export interface LeaderWork {
  lead(port: LeaderPort): void;
  /** With each tick of the member while it leads; `nowMs` is monotonic. */
  tick(nowMs: number): void;
  /** Events of an entry that was just applied, while leading. */
  applied(events: readonly MachineEvent[]): void;
  depose(): void;
}

export interface LeaderWorksDeps {
  readonly works: readonly LeaderWork[];
  readonly memberId: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly view: () => MachineView;
  readonly raftStatus: () => RaftStatus;
  readonly now: () => ClusterTimeMs;
  readonly propose: (body: CommandBody, traceId: string, done: (outcome: MutationOutcome) => void) => void;
}

/** Tells the works of one stream when they lead. */
export class LeaderWorks {
  readonly #deps: LeaderWorksDeps;
  #port: { leading: boolean } | null = null;

  constructor(deps: LeaderWorksDeps) {
    this.#deps = deps;
  }

  /** With each tick. `ready`: the member leads in `term`, and has applied an entry of it. */
  tick(nowMs: number, ready: boolean, term: Term): void {
    if (!ready) this.depose();
    else if (this.#port === null) this.#lead(term);
    if (this.#port !== null) for (const work of this.#deps.works) work.tick(nowMs);
  }

  applied(events: readonly MachineEvent[]): void {
    if (this.#port === null || events.length === 0) return;
    for (const work of this.#deps.works) work.applied(events);
  }

  depose(): void {
    if (this.#port === null) return;
    this.#port.leading = false;
    this.#port = null;
    for (const work of this.#deps.works) work.depose();
  }

  #lead(term: Term): void {
    const { memberId, clock, random, view, raftStatus, now, propose } = this.#deps;
    const port = {
      memberId,
      term,
      leading: true,
      get view() {
        return view();
      },
      clock,
      random,
      raftStatus,
      nowMs: now,
      propose: (body: CommandBody, traceId = ''): Promise<CommandResult | null> => {
        if (!port.leading) return Promise.resolve(null);
        return new Promise((resolve) => {
          propose(body, traceId, (outcome) => {
            resolve(outcome.kind === 'applied' && port.leading ? outcome.result : null);
          });
        });
      },
    };
    this.#port = port;
    for (const work of this.#deps.works) work.lead(port);
  }
}
