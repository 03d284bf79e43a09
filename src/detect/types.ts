/** What the rest of a member sees of the detector. */

/** Heartbeats of agents (D3): they are not replicated, the leader remembers them. */
export interface AgentHeartbeats {
  /** `agent` is alive now. 'not-leader': nobody remembers it here; tell the leader. */
  heartbeat(agent: string): 'ok' | 'not-leader';
}
