/** What the agents of all demos have in common: one attempt at one phase, and how they talk to the demo. */
import type { PhaseBegun, PhaseRef, Session } from '../client/client.ts';
import type { AgentMessage } from './protocol.ts';
import { settled } from './recorder.ts';

export interface AgentPort {
  readonly tell: (message: AgentMessage) => void;
  readonly waitForGo: () => Promise<void>;
}

export interface AttemptDeps {
  readonly session: Session;
  readonly ref: PhaseRef;
  readonly begun: PhaseBegun;
  readonly tell: (message: AgentMessage) => void;
}

/** Does the work and commits with what it gives. When the work throws, the attempt is given up and that is thrown. */
export async function performAttempt(deps: AttemptDeps, work: () => Promise<string>): Promise<void> {
  const { session, ref, begun, tell } = deps;
  const { attempt, token, subStepsDone } = begun;
  tell({ kind: 'begun', phase: ref.phase, attempt, token, done: subStepsDone });
  try {
    const result = await work();
    const { nextG } = await settled(session.commitPhase(ref, token, { result }));
    tell({ kind: 'committed', phase: ref.phase, nextG, result });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    await session.abortPhase(ref, token, { reason }).catch(() => undefined);
    throw error;
  }
}
