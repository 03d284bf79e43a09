/** The cluster as the demo needs it: processes that it can kill and start. The command line brings the real one. */

export interface DemoMember {
  readonly id: string;
  /** Resolves when the process that was started last has ended. */
  readonly exited: Promise<unknown>;
  kill(signal: 'SIGKILL'): void;
  start(): void;
}

export interface DemoCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly DemoMember[];
  leader(): Promise<DemoMember | null>;
  /** Rejects when nobody leads for long. */
  waitForLeader(): Promise<DemoMember>;
  stop(): Promise<void>;
}
