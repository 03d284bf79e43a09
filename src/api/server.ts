/** The client port: everything that a member offers over gRPC. */
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
import { file_quorate_v1_policy, PolicyService } from '../gen/quorate/v1/policy_pb.ts';
import { file_quorate_v1_recovery, RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { file_quorate_v1_session, SessionService } from '../gen/quorate/v1/session_pb.ts';
import { file_quorate_v1_watch, WatchService } from '../gen/quorate/v1/watch_pb.ts';
import type { MemberPort } from '../node/types.ts';
import { rawDefinition } from '../rpc/service.ts';
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
import { policyHandlers } from './policy-service.ts';
import { recoveryHandlers } from './recovery-service.ts';
import { addReflection } from './reflection.ts';
import { sessionHandlers } from './session-service.ts';
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
  const health = new Health(SERVICES.map((service) => service.typeName));
  return {
    addTo(server) {
      server.addService(rawDefinition(PhaseService), { ...phaseHandlers(context) });
      server.addService(rawDefinition(SessionService), { ...sessionHandlers(context) });
      server.addService(rawDefinition(ClusterService), { ...clusterHandlers(context) });
      server.addService(rawDefinition(MembershipService), { ...membershipHandlers(context) });
      server.addService(rawDefinition(AvailabilityService), { ...availabilityHandlers(context) });
      server.addService(rawDefinition(MaintenanceService), { ...maintenanceHandlers(context) });
      server.addService(rawDefinition(RecoveryService), { ...recoveryHandlers(context) });
      server.addService(rawDefinition(IssueService), { ...issueHandlers(context) });
      server.addService(rawDefinition(PolicyService), { ...policyHandlers(context) });
      server.addService(rawDefinition(DocumentService), { ...documentHandlers(context) });
      server.addService(rawDefinition(LedgerService), { ...ledgerHandlers(context) });
      server.addService(rawDefinition(WatchService), { ...watchHandlers(context) });
      server.addService(rawDefinition(OverrideService), { ...overrideHandlers(context) });
      server.addService(rawDefinition(CompensationWorkerService), {
        ...workerHandlers(context, options.workers ?? NO_WORKERS),
      });
      health.addTo(server);
      addReflection(server, FILES);
    },
    setServing(serving) {
      health.set(serving);
    },
    override: httpOverride(context),
  };
}
