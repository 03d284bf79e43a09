/** Phases that stay open for as long as a run takes: no detector and no recovery has a part in what is tested with them. */
import { type PhaseRef, type QuorateClient, QuorateError, type Session } from '../../src/client/client.ts';
import { PATIENT_MS } from './types.ts';

export const LONG_PLAN = 'chaos-long';
export const LONG_PHASE = 'HOLD';
const PRIOR_MS = 24 * 60 * 60 * 1000;

/** Several workloads do it; the second one finds it there. */
export async function registerLongPlan(client: QuorateClient): Promise<void> {
  const phases = [{ name: LONG_PHASE, priorMs: PRIOR_MS, slaMs: 0 }];
  await client.withoutSession
    .registerPlan({ name: LONG_PLAN, phases }, { deadlineMs: PATIENT_MS })
    .catch((error: unknown) => {
      if (!(error instanceof QuorateError && error.reason === 'PLAN_EXISTS')) throw error;
    });
}

/** Makes the loop and begins its phase. */
export async function openLongPhase(
  session: Session,
  loop: string,
): Promise<{ readonly ref: PhaseRef; readonly token: number }> {
  await session.createLoop(loop, { plan: LONG_PLAN, deadlineMs: PATIENT_MS });
  const ref = { loop, g: 1, phase: LONG_PHASE };
  const { token } = await session.beginPhase(ref, { deadlineMs: PATIENT_MS });
  return { ref, token };
}
