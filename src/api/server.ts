/** The client port: everything that a member offers over gRPC. */
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import type { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { AgentHeartbeats } from '../detect/types.ts';
import type { AllowList } from '../effector/allow-list.ts';
import { file_google_rpc_error_details } from '../gen/google/rpc/error_details_pb.ts';
import { file_google_rpc_status } from '../gen/google/rpc/status_pb.ts';
import { AvailabilityService, file_quorate_v1_availability } from '../gen/quorate/v1/availability_pb.ts';
import { ClusterService, file_quorate_v1_cluster } from '../gen/quorate/v1/cluster_pb.ts';
import { CompensationWorkerService, file_quorate_v1_compensator } from '../gen/quorate/v1/compensator_pb.ts';
import { DocumentService, file_quorate_v1_document } from '../gen/quorate/v1/document_pb.ts';
import { file_quorate_v1_issue, IssueService } from '../gen/quorate/v1/issue_pb.ts';
import { file_quorate_v1_ledger, LedgerService } from '../gen/quorate/v1/ledger_pb.ts';
import { file_quorate_v1_maintenance, MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import { file_quorate_v1_membership, MembershipService } from '../gen/quorate/v1/membership_pb.ts';
import { file_quorate_v1_override, OverrideService } from '../gen/quorate/v1/override_pb.ts';
import { file_quorate_v1_phase, PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import { file_quorate_v1_pipeline, PipelineService } from '../gen/quorate/v1/pipeline_pb.ts';
import { file_quorate_v1_policy, PolicyService } from '../gen/quorate/v1/policy_pb.ts';
import { file_quorate_v1_recovery, RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { file_quorate_v1_session, SessionService } from '../gen/quorate/v1/session_pb.ts';
import { file_quorate_v1_watch, WatchService } from '../gen/quorate/v1/watch_pb.ts';
import type { MemberPort } from '../node/types.ts';
import { isPipelined } from '../rpc/pipelined.ts';
import { methodPath, rawDefinition } from '../rpc/service.ts';
import { JsonSchemas } from '../schema/json-schema.ts';
import type { ClusterId, MemberId } from '../types/ids.ts';
import { WATCH_PROGRESS_MS } from '../types/limits.ts';
import { availabilityHandlers } from './availability-service.ts';
import { clusterHandlers } from './cluster-service.ts';
import {
  type ApiContext,
  type ApiMember,
  type Budget,
  clientAddressOf,
  type Identify,
  type IoUsage,
} from './context.ts';
import { defaultBudget } from './default-budget.ts';
import { documentHandlers } from './document-service.ts';
import { Health } from './health.ts';
import { issueHandlers } from './issue-service.ts';
import { ledgerHandlers } from './ledger-service.ts';
import { maintenanceHandlers } from './maintenance-service.ts';
import { membershipHandlers } from './membership-service.ts';
import { type HttpOverride, httpOverride } from './override-http.ts';
import { overrideHandlers } from './override-service.ts';
import { phaseHandlers } from './phase-service.ts';
import { createPipelines } from './pipeline-service.ts';
import { policyHandlers } from './policy-service.ts';
import { recoveryHandlers } from './recovery-service.ts';
import { addReflection } from './reflection.ts';
import { sessionHandlers } from './session-service.ts';
import type { RawUnaryHandler } from './unary.ts';
import { watchHandlers } from './watch-service.ts';
import { type WorkerRoom, workerHandlers } from './worker-service.ts';

export interface ApiOptions {
  readonly member: MemberPort;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Every member that the settings name, this one included. */
  readonly members: readonly ApiMember[];
  /** Asks a new member who it is, on its peer port. */
  readonly identify: Identify;
  readonly version: string;
  /** For the status; left out where nobody measures it. */
  readonly io?: () => IoUsage;
  /** The leader's memory of agents; left out where nobody watches them. */
  readonly agents?: AgentHeartbeats;
  /** What effects cost; left out: one currency without a name, and 500 units of it for a trace. */
  readonly budget?: Budget;
  /** Where compensators may be called; left out or null: everywhere. */
  readonly allowList?: Pick<AllowList, 'allows'> | null;
  /** Where workers find compensations; left out where nobody leads. */
  readonly workers?: WorkerRoom;
  readonly logger: Logger;
  /** Longest silence of a watch, milliseconds; WATCH_PROGRESS_MS unless told. */
  readonly watchProgressMs?: number;
}

export interface Api {
  /** Adds the services of the client port, health and reflection to `server`. */
  addTo(server: Server): void;
  /** What the health service says: true while the member has a leader and no fault. False until told. */
  setServing(serving: boolean): void;
  /** The member stops: no further call begins on a pipeline, and there are no new ones. */
  retire(): void;
  /** For the route `POST /override/<trace_id>` of the HTTP port (O1). */
  readonly override: HttpOverride;
}

const SERVICES = [
  PhaseService,
  SessionService,
  WatchService,
  ClusterService,
  MembershipService,
  AvailabilityService,
  MaintenanceService,
  RecoveryService,
  IssueService,
  PolicyService,
  OverrideService,
  DocumentService,
  LedgerService,
  CompensationWorkerService,
  PipelineService,
] as const;

const FILES = [
  file_quorate_v1_phase,
  file_quorate_v1_session,
  file_quorate_v1_watch,
  file_quorate_v1_cluster,
  file_quorate_v1_membership,
  file_quorate_v1_availability,
  file_quorate_v1_maintenance,
  file_quorate_v1_recovery,
  file_quorate_v1_issue,
  file_quorate_v1_policy,
  file_quorate_v1_override,
  file_quorate_v1_document,
  file_quorate_v1_ledger,
  file_quorate_v1_compensator,
  file_quorate_v1_pipeline,
  // Errors carry these; a generic client can then show them.
  file_google_rpc_status,
  file_google_rpc_error_details,
] as const;

const NO_WORKERS: WorkerRoom = { join: () => null };

export function createApi(options: ApiOptions): Api {
  const members = [...options.members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const { member, clusterId, memberId, version, logger } = options;
  const context: ApiContext = {
    member,
    clusterId,
    memberId,
    members,
    identify: options.identify,
    addressOf: (id) => clientAddressOf({ member, members }, id),
    version,
    io: options.io ?? null,
    agents: options.agents ?? null,
    budget: options.budget ?? defaultBudget,
    allowList: options.allowList ?? null,
    schemas: new JsonSchemas(),
    logger,
    watchProgressMs: options.watchProgressMs ?? WATCH_PROGRESS_MS,
  };
  const commands = new Map<string, RawUnaryHandler>();
  const pipelines = createPipelines(context, commands);
  const health = new Health(SERVICES.map((service) => service.typeName));
  return {
    addTo(server) {
      const add = <Methods extends GenServiceMethods>(service: GenService<Methods>, handlers: object): void => {
        server.addService(rawDefinition(service), { ...handlers });
        for (const method of service.methods) {
          const handler = (handlers as Record<string, RawUnaryHandler | undefined>)[method.localName];
          if (handler !== undefined && isPipelined(method)) commands.set(methodPath(method), handler);
        }
      };
      add(PhaseService, phaseHandlers(context));
      add(SessionService, sessionHandlers(context));
      add(ClusterService, clusterHandlers(context));
      add(MembershipService, membershipHandlers(context));
      add(AvailabilityService, availabilityHandlers(context));
      add(MaintenanceService, maintenanceHandlers(context));
      add(RecoveryService, recoveryHandlers(context));
      add(IssueService, issueHandlers(context));
      add(PolicyService, policyHandlers(context));
      add(DocumentService, documentHandlers(context));
      add(LedgerService, ledgerHandlers(context));
      add(WatchService, watchHandlers(context));
      add(OverrideService, overrideHandlers(context));
      add(CompensationWorkerService, workerHandlers(context, options.workers ?? NO_WORKERS));
      add(PipelineService, pipelines.handlers);
      health.addTo(server);
      addReflection(server, FILES);
    },
    setServing(serving) {
      health.set(serving);
    },
    retire: () => pipelines.retire(),
    override: httpOverride(context),
  };
}
