/**
 * The typed client of a Quorate cluster (`quorate/client`).
 *
 * ```ts
 * const client = await QuorateClient.connect({ endpoints: ['127.0.0.1:7401', '127.0.0.1:7402', '127.0.0.1:7403'] });
 * await using session = await client.openSession();
 * await session.createLoop('nightly');
 * const { token } = await session.beginPhase({ loop: 'nightly', g: 1, phase: 'ANALYZE' });
 * await session.commitPhase({ loop: 'nightly', g: 1, phase: 'ANALYZE' }, token);
 * ```
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { ClusterService } from '../gen/quorate/v1/cluster_pb.ts';
import { MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import { MembershipService } from '../gen/quorate/v1/membership_pb.ts';
import { PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import { SessionService } from '../gen/quorate/v1/session_pb.ts';
import { must } from '../types/assert.ts';
import { CALL_DEADLINE_DEFAULT_MS, SESSION_TTL_DEFAULT_MS } from '../types/limits.ts';
import { Heartbeats } from './agent.ts';
import { type Availability, readAvailability } from './availability.ts';
import { backupPieces } from './backup.ts';
import { Caller } from './caller.ts';
import { Channels, within } from './channels.ts';
import {
  fromConsistency,
  fromRef,
  toAttempt,
  toFacts,
  toLoop,
  toMemberInfo,
  toMemberStatus,
  toNumber,
  toPhaseRun,
  toPlan,
  toSubStep,
} from './convert.ts';
import { Documents } from './documents.ts';
import type { ClusterFacts } from './endpoints.ts';
import { QuorateError } from './errors.ts';
import { Issues } from './issues.ts';
import { LedgerReader } from './ledger.ts';
import { type HeaderInit, Mutations } from './mutations.ts';
import { Overrides } from './override.ts';
import { PolicyReader } from './policy.ts';
import { Reader } from './reader.ts';
import { Recoveries } from './recoveries.ts';
import { Router } from './router.ts';
import { Session } from './session.ts';
import type {
  Attempt,
  BackupOptions,
  BackupPiece,
  CallOptions,
  EndpointStatus,
  FeatureLevel,
  Loop,
  MemberList,
  MemberStatus,
  MutationOptions,
  PhaseRef,
  PhaseRun,
  Plan,
  ReadOptions,
  SubStep,
  WatchEvent,
  WatchOptions,
} from './types.ts';
import { watchEvents } from './watch.ts';

export { Agent, type AgentAttempt, type AgentOptions, checkpointCrc } from './agent.ts';
export type { Availability, MemberAvailability } from './availability.ts';
export type * from './documents.ts';
export { CompactedError, IndeterminateError, QuorateError, type QuorateReason } from './errors.ts';
export type * from './event-kinds.ts';
export type * from './issues.ts';
export type * from './ledger.ts';
export { EffectInDoubtError, EffectNotDoneError } from './ledger.ts';
export type { Mutations } from './mutations.ts';
export type * from './override.ts';
export type * from './policy.ts';
export type * from './recoveries.ts';
export type { Session } from './session.ts';
export type * from './types.ts';

export interface ConnectOptions {
  /** `host:port` of members; one is enough, all is better. */
  readonly endpoints: readonly string[];
  /** Who asks, for records and events; at most 128 characters. */
  readonly caller?: string;
  /** Overall time for a call with all its tries, milliseconds; default 10,000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface OpenSessionOptions extends CallOptions {
  /** How long the session lives without a sign of life, milliseconds; 1,000 to 86,400,000, default 60,000. */
  readonly ttlMs?: number;
}

/** How long a member may take to say who leads, milliseconds. */
const ASK_LEADER_MS = 500;
/** Longest pause between two tries of the first connection, milliseconds. */
const CONNECT_PAUSE_MS = 100;

/** Mutations without a session: an unknown outcome is never retried. */
class Sessionless extends Mutations {
  readonly #caller: Caller;
  readonly #callerName: string;
  readonly #deadlineMs: number;

  constructor(caller: Caller, callerName: string, deadlineMs: number) {
    super();
    this.#caller = caller;
    this.#callerName = callerName;
    this.#deadlineMs = deadlineMs;
  }

  protected override send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (header: HeaderInit) => MessageInitShape<I>,
    options: MutationOptions | undefined,
  ): Promise<MessageShape<O>> {
    const header = { caller: options?.caller ?? this.#callerName, traceId: options?.traceId ?? '' };
    return this.#caller.call({
      method,
      request: () => request(header),
      safety: 'unprotected',
      deadlineMs: options?.deadlineMs ?? this.#deadlineMs,
      signal: options?.signal,
    });
  }
}

export class QuorateClient implements AsyncDisposable {
  /** Mutations without a session: an unknown outcome surfaces at once, as `IndeterminateError` without a retry. */
  readonly withoutSession: Mutations;
  /** Interrupted runs, agents, and what is watched. */
  readonly recoveries: Recoveries;
  /** Control documents of loops; `documents` of a session are safe to write again. */
  readonly documents: Documents;
  /** What phases do to the outside world; `ledger` of a session records it. */
  readonly ledger: LedgerReader;
  readonly issues: Issues;
  readonly policy: PolicyReader;
  /** Supervisors, and the audit log. */
  readonly overrides: Overrides;
  /** Of the agents of this process; `Agent` keeps them. */
  readonly heartbeats: Heartbeats;
  readonly #endpoints: readonly string[];
  readonly #callerName: string;
  readonly #deadlineMs: number;
  readonly #channels = new Channels();
  readonly #router: Router;
  readonly #caller: Caller;
  readonly #reader: Reader;
  readonly #sessions = new Set<Session>();

  private constructor(options: ConnectOptions) {
    this.#endpoints = [...new Set(options.endpoints)];
    this.#callerName = options.caller ?? '';
    this.#deadlineMs = options.deadlineMs ?? CALL_DEADLINE_DEFAULT_MS;
    const nowMs = (): number => performance.now();
    const random = Math.random;
    this.#router = new Router(this.#endpoints, { ask: (address) => this.#askFacts(address), nowMs, random });
    this.#caller = new Caller({ channels: this.#channels, router: this.#router, nowMs, random });
    this.#reader = new Reader(this.#caller, this.#deadlineMs);
    this.recoveries = new Recoveries(this.#reader);
    this.issues = new Issues(this.#reader);
    this.policy = new PolicyReader(this.#reader);
    const stream = { channels: this.#channels, router: this.#router, nowMs, random, deadlineMs: this.#deadlineMs };
    this.overrides = new Overrides(this.#reader, stream);
    this.heartbeats = new Heartbeats(this.#reader);
    this.withoutSession = new Sessionless(this.#caller, this.#callerName, this.#deadlineMs);
    this.documents = new Documents(this.#reader, this.withoutSession.documents);
    this.ledger = new LedgerReader(this.#reader);
  }

  /** Who asks, for records and events. */
  get caller(): string {
    return this.#callerName;
  }

  /** Resolves as soon as one member answered. Rejects with `QuorateError` UNAVAILABLE when none did in time. */
  static async connect(options: ConnectOptions): Promise<QuorateClient> {
    if (options.endpoints.length === 0)
      throw new RangeError('endpoints is empty; name at least one member as host:port');
    const client = new QuorateClient(options);
    try {
      await client.#firstContact(options.signal);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Opens a session, which is kept alive until it is closed or this process ends. */
  async openSession(options?: OpenSessionOptions): Promise<Session> {
    const deadlineMs = options?.deadlineMs ?? this.#deadlineMs;
    const response = await this.#caller.call({
      method: SessionService.method.openSession,
      request: () => ({
        header: { caller: this.#callerName },
        ttlMs: BigInt(options?.ttlMs ?? SESSION_TTL_DEFAULT_MS),
      }),
      safety: 'repeatable',
      deadlineMs,
      signal: options?.signal,
    });
    const session = new Session({
      id: toNumber(response.sessionId),
      ttlMs: toNumber(response.ttlMs),
      caller: this.#caller,
      callerName: this.#callerName,
      deadlineMs: this.#deadlineMs,
      onClose: (closed) => this.#sessions.delete(closed),
    });
    this.#sessions.add(session);
    return session;
  }

  async getLoop(loop: string, options?: ReadOptions): Promise<{ readonly loop: Loop; readonly plan: Plan }> {
    const request = { loop, ...fromConsistency(options) };
    const response = await this.#reader.read(PhaseService.method.getLoop, request, options);
    return {
      loop: toLoop(must(response.loop, 'GetLoop answered without a loop')),
      plan: toPlan(must(response.plan, 'GetLoop answered without a plan')),
    };
  }

  async getPhaseRun(
    ref: PhaseRef,
    options?: ReadOptions,
  ): Promise<{ readonly run: PhaseRun; readonly attempts: readonly Attempt[] }> {
    const request = { ref: fromRef(ref), ...fromConsistency(options) };
    const response = await this.#reader.read(PhaseService.method.getPhaseRun, request, options);
    const run = toPhaseRun(must(response.run, 'GetPhaseRun answered without a run'));
    return { run, attempts: response.attempts.map(toAttempt) };
  }

  /** All loops, page by page. */
  async *listLoops(options?: ReadOptions): AsyncGenerator<Loop, void, undefined> {
    yield* this.#reader.pages(async (page) => {
      const request = { ...page, ...fromConsistency(options) };
      const response = await this.#reader.read(PhaseService.method.listLoops, request, options);
      return { rows: response.loops.map(toLoop), next: response.nextPageToken };
    });
  }

  async *listPlans(options?: ReadOptions): AsyncGenerator<Plan, void, undefined> {
    yield* this.#reader.pages(async (page) => {
      const request = { ...page, ...fromConsistency(options) };
      const response = await this.#reader.read(PhaseService.method.listPlans, request, options);
      return { rows: response.plans.map(toPlan), next: response.nextPageToken };
    });
  }

  /** The recorded sub-steps of a run, by id. */
  async *listSubSteps(ref: PhaseRef, options?: ReadOptions): AsyncGenerator<SubStep, void, undefined> {
    yield* this.#reader.pages(async (page) => {
      const request = { ...page, ref: fromRef(ref), ...fromConsistency(options) };
      const response = await this.#reader.read(PhaseService.method.listSubSteps, request, options);
      return { rows: response.subSteps.map(toSubStep), next: response.nextPageToken };
    });
  }

  /**
   * Events in order, each once, events of one revision together. Goes on by itself after a broken connection or a
   * change of member. Ends when the signal fires; throws `CompactedError` when the history wanted is gone.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, undefined> {
    const deps = {
      channels: this.#channels,
      router: this.#router,
      nowMs: () => performance.now(),
      random: Math.random,
    };
    return watchEvents({ ...deps, deadlineMs: this.#deadlineMs }, options);
  }

  /** Asks every endpoint about itself; one that does not answer is reported, not thrown. */
  status(options?: CallOptions): Promise<readonly EndpointStatus[]> {
    const deadlineMs = Math.min(options?.deadlineMs ?? this.#deadlineMs, this.#deadlineMs);
    return Promise.all(
      this.#endpoints.map(async (endpoint): Promise<EndpointStatus> => {
        try {
          return { endpoint, status: await this.#askStatus(endpoint, deadlineMs, options?.signal) };
        } catch (error) {
          return { endpoint, error: error instanceof Error ? error.message : String(error) };
        }
      }),
    );
  }

  /** Who the members are, and how far a change is; the leader knows most. */
  async members(options?: ReadOptions): Promise<MemberList> {
    const response = await this.#reader.read(MembershipService.method.listMembers, fromConsistency(options), options);
    return {
      members: response.members.map(toMemberInfo),
      joint: response.joint,
      settled: response.settled,
      configurationIndex: toNumber(response.configurationIndex),
    };
  }

  /** Resolves when `to` leads (left out: the voter that is furthest), with the leader's id as far as it is known. */
  async transferLeadership(to?: string, options?: CallOptions): Promise<string | null> {
    const { leaderId } = await this.#caller.call({
      method: MembershipService.method.transferLeadership,
      request: () => ({ to: to ?? '' }),
      // Whoever leads already says so.
      safety: 'repeatable',
      deadlineMs: options?.deadlineMs ?? this.#deadlineMs,
      signal: options?.signal,
    });
    return leaderId === '' ? null : leaderId;
  }

  /** Members that are slow or away, and what the cluster does about it. */
  availability(options?: ReadOptions): Promise<Availability> {
    return readAvailability(this.#reader, options);
  }

  async featureLevel(options?: ReadOptions): Promise<FeatureLevel> {
    const method = MaintenanceService.method.getFeatureLevel;
    const { level, used, pinned, supported } = await this.#reader.read(method, fromConsistency(options), options);
    return { level, used, pinned, supported };
  }

  /**
   * The state of the cluster as the pieces of a file, in order, while work goes on. The file is complete only when the
   * iteration ends without an error: after one, throw away what came. A slow reader slows the member's reading, nothing else.
   */
  backup(options: BackupOptions = {}): AsyncGenerator<BackupPiece, void, undefined> {
    const deps = {
      channels: this.#channels,
      router: this.#router,
      nowMs: () => performance.now(),
      random: Math.random,
    };
    return backupPieces({ ...deps, deadlineMs: options.deadlineMs ?? this.#deadlineMs }, options.signal);
  }

  /** Closes the sessions and the connections. Calls under way fail. Idempotent. */
  async close(): Promise<void> {
    this.heartbeats.close();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#channels.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #firstContact(signal: AbortSignal | undefined): Promise<void> {
    const endMs = performance.now() + this.#deadlineMs;
    for (;;) {
      signal?.throwIfAborted();
      try {
        await this.#router.firstContact();
        return;
      } catch (error) {
        if (performance.now() >= endMs) {
          const message = `no member answered at ${this.#endpoints.join(', ')}; check that they run (quorate dev starts three) and that the addresses are right`;
          throw new QuorateError({ reason: 'UNAVAILABLE', message, cause: error });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * CONNECT_PAUSE_MS));
    }
  }

  async #askStatus(address: string, deadlineMs: number, signal?: AbortSignal): Promise<MemberStatus> {
    const answer = await this.#channels.unary(address, ClusterService.method.getStatus, {}, within(deadlineMs), signal);
    if (!answer.ok) throw answer.error.error;
    return toMemberStatus(answer.value);
  }

  async #askFacts(address: string): Promise<ClusterFacts> {
    return toFacts(await this.#askStatus(address, ASK_LEADER_MS));
  }
}
