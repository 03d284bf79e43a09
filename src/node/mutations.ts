/**
 * Mutations of one stream: admitted, proposed or passed on to the leader, and answered.
 *
 * G1  A mutation is answered `applied` only after its entry was applied here, so only after it was committed:
 *     fsync'd on a majority (W2).
 * G2  A mutation is answered `refused` only if it can never be carried out: it never entered a log, or another entry
 *     was committed in its place. Everything else that ends early is `indeterminate`.
 * G3  Answers are given once.
 * G4  No command of a client gets into the log that a member of the cluster's feature level could not carry out in full: such a
 *     member would stop, or differ from the others.
 */
import { decodeCommand, encodeCommand } from '../codec/command.ts';
import { commandLevel } from '../codec/command-level.ts';
import { forwardBytes } from '../codec/envelope-size.ts';
import type { Applied } from '../machine/api.ts';
import type { Command, CommandBody } from '../machine/types.ts';
import { Admission } from '../proposal/admission.ts';
import { Waiters } from '../proposal/waiters.ts';
import type { Entry, Proposal, RefusalReason } from '../raft/types.ts';
import { assert, InvariantError } from '../types/assert.ts';
import type { ClusterTimeMs, LogIndex, MemberId, StreamId, Term } from '../types/ids.ts';
import { COMMAND_BYTES_MAX, FORWARDED_BYTES_MAX } from '../types/limits.ts';
import { DecodedCommands } from './decoded-commands.ts';
import { Forwarding } from './forwarding.ts';
import type { MemberDeps } from './options.ts';
import * as outcomes from './outcomes.ts';
import type { MutationOutcome, MutationRequest } from './types.ts';

/** Made once: they are at hand for every entry, and seldom given. */
const DISPLACED = outcomes.displaced();
const LOST = outcomes.lost();

/** What keeps a session alive, and what an operator does about a cluster that has too much to do. */
const URGENT: ReadonlySet<CommandBody['kind']> = new Set([
  'changeMembers',
  'changeSupervisors',
  'interruptPhase',
  'keepAliveSession',
  'override',
  'permitAsync',
  'setFeatureLevel',
  'setPolicy',
]);

function isUrgent({ kind }: CommandBody): boolean {
  return URGENT.has(kind);
}

export interface MutationsOptions {
  readonly deps: MemberDeps;
  readonly stream: StreamId;
  readonly now: () => ClusterTimeMs;
  /** As this member has applied it; `settled`: all that was committed before its term is in it. */
  readonly featureLevel: () => { readonly level: number; readonly settled: boolean };
  /** Unique in this process, shared with other proposals to the same core. */
  readonly nextProposalId: () => number;
  /** Hands proposals to the core, at once. */
  readonly propose: (proposals: readonly Proposal[]) => void;
}

export class Mutations {
  readonly #options: MutationsOptions;
  readonly #admission: Admission;
  /** Bounds what waits for an answer of the leader, apart from what this member proposes itself. */
  readonly #forwardAdmission: Admission;
  readonly #waiters = new Waiters<MutationOutcome>();
  readonly #forwarding: Forwarding;
  #proposals: Proposal[] = [];
  /** Commands of own proposals, decoded from the very bytes that are in the log: no replica reads anything else. */
  readonly #decoded = new DecodedCommands();

  constructor(options: MutationsOptions) {
    this.#options = options;
    const { deps } = options;
    const { settings, random } = deps;
    const nowMs = (): number => deps.clock.monotonicMs();
    const { proposalsMax: countMax, proposalBytesMax: bytesMax } = settings;
    this.#admission = new Admission({ countMax, bytesMax }, nowMs);
    this.#forwardAdmission = new Admission({ countMax, bytesMax: FORWARDED_BYTES_MAX }, nowMs);
    this.#forwarding = new Forwarding(1 + random.below(2 ** 31) * 2 ** 20);
  }

  get waiting(): number {
    return this.#admission.count + this.#forwardAdmission.count;
  }
  retryAfterMs(): number {
    return this.#admission.retryAfterMs();
  }

  // ------------------------------------------------------------------------------------------ ways in

  /** On the leader. */
  propose(request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    const { client = '', ...asked } = request;
    const payload = encodeCommand({ timeMs: this.#options.now(), ...asked });
    if (payload.length > COMMAND_BYTES_MAX) {
      return Promise.resolve(outcomes.tooLarge(payload.length, COMMAND_BYTES_MAX));
    }
    // What every replica will have to read is read here first: an entry that cannot be decoded would stop them all.
    // The gateway lets no such command pass, so it is a bug of a caller in this process.
    const decoded = decodeCommand(payload);
    if (!decoded.ok) return Promise.reject(new InvariantError(`a command that cannot be read back: ${decoded.error}`));
    const unfit = this.#checkLevel(decoded.value.body);
    if (unfit !== null) return Promise.resolve(unfit);
    if (!this.#admission.tryAdmit(client, payload.length, isUrgent(request.body))) {
      return Promise.resolve(outcomes.overloaded(this.#admission.retryAfterMs()));
    }
    const { clock } = this.#options.deps;
    const startedMs = clock.monotonicMs();
    return new Promise((resolve) => {
      const settle = (outcome: MutationOutcome): void => {
        this.#admission.release(client, payload.length, clock.monotonicMs() - startedMs, outcome.kind === 'applied');
        resolve(outcome);
      };
      const proposalId = this.#enqueue(payload, { settle, deadlineMs: startedMs + deadlineMs });
      this.#decoded.proposed(proposalId, payload, decoded.value);
    });
  }

  /** G4. What sets the level is checked against what the members support (`api/maintenance-service.ts`), not against the level. */
  #checkLevel(body: CommandBody): outcomes.Refused | null {
    const needed = body.kind === 'setFeatureLevel' ? 1 : commandLevel(body);
    const { level, settled } = this.#options.featureLevel();
    if (level >= needed) return null;
    // A new leader may not have applied yet that the level has risen.
    return settled ? outcomes.levelTooLow(level, needed) : outcomes.noLeader();
  }

  /** What the leader proposes on its own account; not admitted, because there is little of it. `done`: applied, or not. */
  proposeOwn(body: CommandBody, done: (outcome: MutationOutcome) => void, traceId = ''): void {
    const payload = encodeCommand({ timeMs: this.#options.now(), session: null, caller: '', traceId, body });
    this.#enqueue(payload, { settle: done, deadlineMs: Number.POSITIVE_INFINITY });
  }

  /** On a follower: to the leader, once. */
  forward(leader: MemberId, request: MutationRequest, deadlineMs: number): Promise<MutationOutcome> {
    const { deps, stream } = this.#options;
    const bytes = forwardBytes(request.body);
    const admission = this.#forwardAdmission;
    const { client = '' } = request;
    if (!admission.tryAdmit(client, bytes, isUrgent(request.body)))
      return Promise.resolve(outcomes.overloaded(admission.retryAfterMs()));
    const startedMs = deps.clock.monotonicMs();
    return new Promise((resolve) => {
      const settle = (outcome: MutationOutcome): void => {
        admission.release(client, bytes, deps.clock.monotonicMs() - startedMs, outcome.kind === 'applied');
        resolve(outcome);
      };
      const requestId = this.#forwarding.add({ leader, settle, deadlineMs: startedMs + deadlineMs });
      const sent = deps.network.send(leader, {
        kind: 'forwardRequest',
        stream,
        requestId,
        deadlineMs: Math.max(1, Math.floor(deadlineMs)),
        request,
      });
      // Not taken is certainly not sent (G2).
      if (!sent) this.#forwarding.answered(leader, requestId, outcomes.overloaded(admission.retryAfterMs()));
    });
  }

  /** Proposals of one turn go to the core together: one persist effect, one append for each follower. */
  #enqueue(payload: Uint8Array, waiter: { settle: (outcome: MutationOutcome) => void; deadlineMs: number }): number {
    const proposalId = this.#options.nextProposalId();
    this.#waiters.add(proposalId, waiter);
    this.#proposals.push({ proposalId, payload });
    if (this.#proposals.length === 1) this.#options.deps.clock.defer(() => this.#flush());
    return proposalId;
  }

  #flush(): void {
    if (this.#proposals.length === 0) return;
    const proposals = this.#proposals;
    this.#proposals = [];
    this.#options.propose(proposals);
  }

  // ------------------------------------------------------------------------------------------ ways out

  appended(proposalId: number, index: LogIndex, term: Term): void {
    this.#decoded.placed(proposalId, index);
    this.#waiters.place(proposalId, index, term, DISPLACED);
  }

  refused(proposalId: number, reason: RefusalReason, leader: MemberId | null): void {
    this.#decoded.refused(proposalId);
    this.#waiters.refuse(proposalId, outcomes.refusedByCore(reason, leader, this.#admission.retryAfterMs()));
  }

  /** What the entry holds; an entry that this version cannot read must stop the member: skipping it would change the state. */
  commandOf(entry: Entry): Command {
    const known = this.#decoded.take(entry);
    if (known !== null) return known;
    const decoded = decodeCommand(entry.payload);
    if (decoded.ok) return decoded.value;
    throw new InvariantError(`entry ${entry.index} can be decoded: ${decoded.error}`);
  }

  applied(entry: Entry, { result, replayed }: Applied): void {
    this.#waiters.applied(
      entry.index,
      entry.term,
      () => {
        assert(result !== null, 'who waits, waits for a command');
        return { kind: 'applied', index: entry.index, term: entry.term, replayed, result };
      },
      LOST,
    );
  }

  /** An image took the place of the entries up to `index`: what became of a single one of them is not known here. */
  skipped(index: LogIndex): void {
    this.#decoded.forget();
    this.#waiters.settleUpTo(index, outcomes.indeterminate('this member took over an image of the state'));
  }

  /** Entries of a leadership that is over may be replaced: what becomes of them is read from the log. */
  roleChanged(): void {
    this.#decoded.forget();
    this.#admission.roleChanged();
    this.#forwardAdmission.roleChanged();
  }

  forwardAnswered(from: MemberId, requestId: number, outcome: MutationOutcome): void {
    this.#forwarding.answered(from, requestId, outcome);
  }

  unreachable(peer: MemberId): void {
    this.#forwarding.unreachable(peer, outcomes.indeterminate(`the connection to ${peer} broke`));
  }

  expire(nowMs: number): void {
    const late = outcomes.indeterminate('the deadline passed before the outcome was known');
    this.#waiters.expire(nowMs, late);
    this.#forwarding.expire(nowMs, late);
  }

  /** The member stops: everybody is answered. */
  end(): void {
    for (const { proposalId } of this.#proposals) this.#waiters.refuse(proposalId, outcomes.shuttingDown());
    this.#proposals = [];
    this.#decoded.forget();
    const unknown = outcomes.indeterminate('the member stopped');
    this.#waiters.settleAll(unknown);
    this.#forwarding.settleAll(unknown);
  }
}
