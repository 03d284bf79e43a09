/** The package `quorate`: the typed client, and what is needed to run a member inside another program. */
export {
  Agent,
  type AgentAttempt,
  type AgentOptions,
  CompactedError,
  type ConnectOptions,
  checkpointCrc,
  IndeterminateError,
  type Mutations,
  type OpenSessionOptions,
  QuorateClient,
  QuorateError,
  type QuorateReason,
  type Session,
} from './client/client.ts';
export {
  type Compensation,
  type CompensationWorkerOptions,
  runCompensationWorker,
} from './client/compensation-worker.ts';
export type * from './client/event-kinds.ts';
export type * from './client/issues.ts';
export type * from './client/policy.ts';
export type * from './client/recoveries.ts';
export type {
  Attempt,
  AttemptState,
  BackupInfo,
  BackupOptions,
  BackupPiece,
  BeginPhaseOptions,
  CallOptions,
  ChangeMembersOptions,
  Consistency,
  EndpointStatus,
  FeatureLevel,
  Loop,
  LoopCreated,
  MemberChange,
  MemberInfo,
  MemberList,
  MemberStatus,
  MutationAnswer,
  MutationOptions,
  PhaseAborted,
  PhaseBegun,
  PhaseEnded,
  PhaseRef,
  PhaseRun,
  PhaseState,
  Plan,
  PlanPhase,
  ProgressReport,
  ProgressReported,
  ReadOptions,
  StreamStatus,
  SubStep,
  TransferProgress,
  VectorClock,
  WatchEvent,
  WatchOptions,
} from './client/types.ts';
export {
  type ConfigInput,
  type ConfigSource,
  type LoadedConfig,
  loadConfig,
  type ServerConfig,
} from './server/config.ts';
export { createLogger } from './server/config-logger.ts';
export { type ConfigProblem, formatProblem } from './server/config-problem.ts';
export { type RunningServer, startServer } from './server/main-server.ts';
