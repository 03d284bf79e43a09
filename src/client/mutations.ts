/** The mutations, one typed method each. How they are sent is the business of whoever extends this. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { AvailabilityService } from '../gen/quorate/v1/availability_pb.ts';
import type { RequestHeaderSchema } from '../gen/quorate/v1/common_pb.ts';
import { IssueService } from '../gen/quorate/v1/issue_pb.ts';
import { MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import { MembershipService } from '../gen/quorate/v1/membership_pb.ts';
import { OverrideService } from '../gen/quorate/v1/override_pb.ts';
import { PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import { PolicyService } from '../gen/quorate/v1/policy_pb.ts';
import { RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { fromMemberChange, fromRef, fromVectorClock, toAnswer, toNumber, toVectorClock } from './convert.ts';
import { DocumentWrites, type Send } from './documents.ts';
import { LedgerWrites } from './ledger.ts';
import {
  fromAction,
  fromSignature,
  type Overridden,
  type SignedOverride,
  type SignedRosterChange,
  type SupervisorsChanged,
} from './override.ts';
import type { FinishedReported, PhaseInterrupted } from './recoveries.ts';
import type {
  BeginPhaseOptions,
  ChangeMembersOptions,
  LoopCreated,
  MemberChange,
  MutationAnswer,
  MutationOptions,
  PhaseAborted,
  PhaseBegun,
  PhaseEnded,
  PhaseRef,
  Plan,
  ProgressReport,
  ProgressReported,
  VectorClock,
} from './types.ts';

export type HeaderInit = MessageInitShape<typeof RequestHeaderSchema>;

export abstract class Mutations {
  /** Sends a mutation with the header that belongs to it. */
  protected abstract send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (header: HeaderInit) => MessageInitShape<I>,
    options: MutationOptions | undefined,
  ): Promise<MessageShape<O>>;

  readonly #sendAny: Send = (method, request, options) => this.send(method, request, options);
  /** Control documents of loops. */
  readonly documents = new DocumentWrites(this.#sendAny);
  /** What phases do to the outside world. */
  readonly ledger = new LedgerWrites(this.#sendAny);

  /** Registers a plan under a new name. Refused with PLAN_EXISTS when the name is taken. */
  async registerPlan(plan: Plan, options?: MutationOptions): Promise<MutationAnswer> {
    const phases = plan.phases.map(({ name, priorMs, slaMs }) => ({
      name,
      priorMs: BigInt(priorMs),
      slaMs: BigInt(slaMs),
    }));
    const response = await this.send(
      PhaseService.method.registerPlan,
      (header) => ({ header, plan: { name: plan.name, phases } }),
      options,
    );
    return toAnswer(response.header);
  }

  /** Starts a loop in round 1. `plan`: default ANALYZE → BLUEPRINT → CONSTRUCT → VALIDATE → IDLE. */
  async createLoop(loop: string, options?: MutationOptions & { readonly plan?: string }): Promise<LoopCreated> {
    const plan = options?.plan ?? '';
    const response = await this.send(PhaseService.method.createLoop, (header) => ({ header, loop, plan }), options);
    return { ...toAnswer(response.header), g: toNumber(response.g) };
  }

  /** Begins a phase run, or takes a running one over; the answer has the attempt's fencing token. */
  async beginPhase(ref: PhaseRef, options?: BeginPhaseOptions): Promise<PhaseBegun> {
    const response = await this.send(
      PhaseService.method.beginPhase,
      (header) => ({
        header,
        ref: fromRef(ref),
        supersedeAttempt: BigInt(options?.supersedeAttempt ?? 0),
        vectorClock: fromVectorClock(options?.vectorClock),
        participants: [...(options?.participants ?? [])],
      }),
      options,
    );
    return {
      ...toAnswer(response.header),
      attempt: toNumber(response.attempt),
      token: toNumber(response.fencingToken),
      subStepsDone: toNumber(response.subStepsDone),
      checkpoint: response.checkpoint,
      vectorClock: toVectorClock(response.vectorClock),
    };
  }

  /** Records progress, finished sub-steps and a checkpoint of a running attempt. */
  async reportProgress(
    ref: PhaseRef,
    token: number,
    report: ProgressReport,
    options?: MutationOptions,
  ): Promise<ProgressReported> {
    const { completed = 0, total = 0, note = '', subSteps = [], checkpoint, checkpointCrc, participant = '' } = report;
    const response = await this.send(
      PhaseService.method.reportProgress,
      (header) => ({
        header,
        ref: fromRef(ref),
        fencingToken: BigInt(token),
        completed: BigInt(completed),
        total: BigInt(total),
        note,
        subSteps: subSteps.map(({ id, result }) => ({ id, result })),
        ...(checkpoint === undefined ? {} : { checkpoint }),
        ...(checkpointCrc === undefined ? {} : { checkpointCrc }),
        vectorClock: fromVectorClock(report.vectorClock),
        participant,
      }),
      options,
    );
    return {
      ...toAnswer(response.header),
      subStepsRecorded: toNumber(response.subStepsRecorded),
      subStepsKnown: response.subStepsKnown,
    };
  }

  /**
   * Members come and go: what is wanted is on record when this resolves, and the leader works towards it; `members()` shows
   * how far it is. A new member must run and wait to be added.
   */
  async changeMembers(changes: readonly MemberChange[], options?: ChangeMembersOptions): Promise<MutationAnswer> {
    const response = await this.send(
      MembershipService.method.changeMembers,
      (header) => ({ header, changes: changes.map(fromMemberChange), force: options?.force ?? false }),
      options,
    );
    return toAnswer(response.header);
  }

  /** Lets one voter that does not lead acknowledge writes before its fsync, until the permission ends by itself or `on` is false. */
  async permitAsync(member: string, options?: MutationOptions & { readonly on?: boolean }): Promise<MutationAnswer> {
    const on = options?.on ?? true;
    const { permitAsync } = AvailabilityService.method;
    const response = await this.send(permitAsync, (header) => ({ header, memberId: member, on }), options);
    return toAnswer(response.header);
  }

  /** `pinned`: the level is not raised by itself from now on. */
  async setFeatureLevel(
    level: number,
    options?: MutationOptions & { readonly pinned?: boolean },
  ): Promise<MutationAnswer> {
    const response = await this.send(
      MaintenanceService.method.setFeatureLevel,
      (header) => ({ header, level, pinned: options?.pinned ?? false }),
      options,
    );
    return toAnswer(response.header);
  }

  /** Ends the run as CLEAN_EXIT. */
  async commitPhase(
    ref: PhaseRef,
    token: number,
    options?: MutationOptions & { readonly result?: string; readonly vectorClock?: VectorClock },
  ): Promise<PhaseEnded> {
    const response = await this.send(
      PhaseService.method.commitPhase,
      (header) => ({
        header,
        ref: fromRef(ref),
        fencingToken: BigInt(token),
        result: options?.result ?? '',
        vectorClock: fromVectorClock(options?.vectorClock),
      }),
      options,
    );
    const { nextG, vectorClock } = response;
    return { ...toAnswer(response.header), nextG: toNumber(nextG), vectorClock: toVectorClock(vectorClock) };
  }

  /** Ends the attempt; the run may be begun again, unless `hardFail`, which ends it for good. Effects are undone first: see `rollingBack`. */
  async abortPhase(
    ref: PhaseRef,
    token: number,
    options?: MutationOptions & {
      readonly reason?: string;
      readonly hardFail?: boolean;
      readonly vectorClock?: VectorClock;
    },
  ): Promise<PhaseAborted> {
    const response = await this.send(
      PhaseService.method.abortPhase,
      (header) => ({
        header,
        ref: fromRef(ref),
        fencingToken: BigInt(token),
        reason: options?.reason ?? '',
        hardFail: options?.hardFail ?? false,
        vectorClock: fromVectorClock(options?.vectorClock),
      }),
      options,
    );
    const { nextG, vectorClock, rollingBack } = response;
    const clock = toVectorClock(vectorClock);
    return { ...toAnswer(response.header), nextG: toNumber(nextG), vectorClock: clock, rollingBack };
  }
  /** The agent ends on purpose: its silence is nothing to report. Default: the caller. */
  async farewell(agent = '', options?: MutationOptions): Promise<MutationAnswer> {
    const response = await this.send(RecoveryService.method.farewell, (header) => ({ header, agent }), options);
    return toAnswer(response.header);
  }

  /** One of the run's participants has finished its part; `participant`: default the caller. */
  async reportFinished(
    ref: PhaseRef,
    token: number,
    options?: MutationOptions & { readonly participant?: string },
  ): Promise<FinishedReported> {
    const participant = options?.participant ?? '';
    const response = await this.send(
      RecoveryService.method.reportFinished,
      (header) => ({ header, ref: fromRef(ref), fencingToken: BigInt(token), participant }),
      options,
    );
    const { finished, participants } = response;
    return { ...toAnswer(response.header), finished, participants };
  }

  /** Says that the attempt is stuck: its token counts no more, and a recovery begins. */
  async interruptPhase(
    ref: PhaseRef,
    attempt: number,
    options?: MutationOptions & { readonly detail?: string },
  ): Promise<PhaseInterrupted> {
    const response = await this.send(
      RecoveryService.method.interruptPhase,
      (header) => ({ header, ref: fromRef(ref), attempt: BigInt(attempt), detail: options?.detail ?? '' }),
      options,
    );
    return { ...toAnswer(response.header), waiting: response.waiting };
  }

  /** Somebody has seen the issue. */
  async acknowledgeIssue(
    issue: number,
    options?: MutationOptions & { readonly note?: string },
  ): Promise<MutationAnswer> {
    const response = await this.send(
      IssueService.method.acknowledgeIssue,
      (header) => ({ header, issue: BigInt(issue), note: options?.note ?? '' }),
      options,
    );
    return toAnswer(response.header);
  }

  /** Sets numbers of the policy, all or none; `policy.get()` shows their names and ranges. */
  async setPolicy(values: Readonly<Record<string, number>>, options?: MutationOptions): Promise<MutationAnswer> {
    const pairs = Object.entries(values).map(([name, value]) => ({ name, value: BigInt(value) }));
    const response = await this.send(PolicyService.method.setPolicy, (header) => ({ header, values: pairs }), options);
    return toAnswer(response.header);
  }

  /** Moves the recoveries of a trace, as supervisors have signed. */
  async override(signed: SignedOverride, options?: MutationOptions): Promise<Overridden> {
    const { target: traceId, action, expiresAtMs, nonce, signatures } = signed;
    const once = { expiresAtMs: BigInt(expiresAtMs), nonce, signatures: signatures.map(fromSignature) };
    const response = await this.send(
      OverrideService.method.override,
      (header) => ({ header, traceId, action: fromAction(action), ...once }),
      options,
    );
    return { ...toAnswer(response.header), recoveries: response.recoveries };
  }

  /** Changes the roster of supervisors, as those who are on it have signed. */
  async changeSupervisors(signed: SignedRosterChange, options?: MutationOptions): Promise<SupervisorsChanged> {
    const { changes, signaturesNeeded = null, expiresAtMs, nonce, signatures } = signed;
    const needed = signaturesNeeded === null ? {} : { signaturesNeeded };
    const once = { expiresAtMs: BigInt(expiresAtMs), nonce, signatures: signatures.map(fromSignature), ...needed };
    const response = await this.send(
      OverrideService.method.changeSupervisors,
      (header) => ({ header, changes: changes.map(({ name, publicKey }) => ({ name, publicKey })), ...once }),
      options,
    );
    const { supervisors, threshold } = response;
    return { ...toAnswer(response.header), supervisors, threshold };
  }
}
