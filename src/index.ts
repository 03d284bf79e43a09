/** The package `quorate`: the typed client, and what is needed to run a member inside another program. */
export {
  CompactedError,
  type ConnectOptions,
  IndeterminateError,
  type Mutations,
  type OpenSessionOptions,
  QuorateClient,
  QuorateError,
  type QuorateReason,
  type Session,
} from './client/client.ts';
export type {
  Attempt,
  AttemptState,
  BeginPhaseOptions,
  CallOptions,
  EndpointStatus,
  Loop,
  LoopCreated,
  MemberInfo,
  MemberStatus,
  MutationAnswer,
  MutationOptions,
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
